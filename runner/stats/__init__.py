"""Paired statistics of arms: intervals, exact tests, power."""
