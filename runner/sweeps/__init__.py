"""Sweeps: `-m` on the command line. Their jobs, their studies, and the report over all points."""
