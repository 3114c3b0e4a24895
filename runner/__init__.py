"""The engine: it computes trials (arms x seeds), and reports statistics, verdicts and figures."""
