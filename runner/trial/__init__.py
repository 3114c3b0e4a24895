"""One trial in one process, with torch: training, checkpoints, measurements."""
