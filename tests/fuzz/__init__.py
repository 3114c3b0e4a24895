"""Fuzzing of everything that a user can hand over: `python -m tests.fuzz`."""
