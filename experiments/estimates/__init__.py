"""What a plan asks about arms before any trial runs.

Whether their options fit together, the least memory of their trials, and the metrics they record.

Reached by `runner.plan.estimates` alone, so that no trial's code depends on it. No torch.
"""
