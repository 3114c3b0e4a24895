"""Pre-registered statements, what they need, and their verdicts."""
