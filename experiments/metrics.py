"""What the metrics of the science are worth for a diverged trial. No torch.

A name stands for all finer ones: `ffn/zero_share` for `ffn/zero_share/layer0` too. A metric that is
not declared is worth nothing, which bars it from deciding where trials diverge.
"""

from runner.metric_names import Metric

METRICS: dict[str, Metric] = {}
