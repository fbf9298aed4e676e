"""The run directory and who may write in it: all that travels between notebooks."""
