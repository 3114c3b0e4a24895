"""The engine: arms x seeds -> trials -> statistics, verdicts, pictures."""
