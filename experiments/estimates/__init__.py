"""Estimates for a plan, before any trial runs.

They say whether the options of an arm fit together, how much memory its trials need at least, and
which metrics they record.

Only `runner.plan.estimates` imports this package, so no trial's code depends on it. No torch.
"""
