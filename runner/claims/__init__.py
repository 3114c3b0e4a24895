"""Pre-registered claims, their preconditions, and their verdicts."""
