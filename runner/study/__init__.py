"""Compute the trials of a plan that the store does not have yet. Imports no torch."""
