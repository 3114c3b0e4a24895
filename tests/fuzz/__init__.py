"""Fuzzing of all inputs of a user: `python -m tests.fuzz`."""
