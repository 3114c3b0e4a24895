"""One trial in one process: training, checkpoints, measurements. Imports torch."""
