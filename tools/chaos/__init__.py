"""Kills a run at random moments, takes it up again, and compares what comes out with a run that nobody disturbed."""
