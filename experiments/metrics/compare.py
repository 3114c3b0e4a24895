"""The metrics of `experiments/compare.py`: only those of the engine. No torch."""

from runner.metric_names import Metric

DECLARATIONS: dict[str, Metric] = {}
