"""The pages of the documentation: docs/, the executed notebooks of a run, and the library's docstrings."""
