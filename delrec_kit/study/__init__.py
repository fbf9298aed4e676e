"""What a run does, stage by stage: it knows run directories, and everything to its left knows none."""
