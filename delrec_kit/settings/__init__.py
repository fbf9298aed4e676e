"""What can be chosen, and what it is called."""
