"""Notebooks by papermill, and sweeps of many runs."""
