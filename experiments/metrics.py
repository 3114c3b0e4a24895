"""What the metrics of the science are worth for a diverged trial. No torch.

A name stands for all finer ones: `ffn/zero_share` for `ffn/zero_share/layer0` too. A metric that is
not declared is worth nothing, which bars it from deciding where trials diverge.

The page of a question declares its own metrics, ours as a plug-in's:
`METRICS["mine/score"] = Metric(Worth.fixed, 0.0)`. None is declared here, since this file is behind
the numbers of every arm: a metric more of one question would make the trials of all others stale.

How the worth was chosen:

- kept: what no training changes, such as costs, timings, and values from before the first step.
- start: losses, which say how good a model is, as the untrained model has them.
- fixed: shares of right answers, and of heads that can go without loss. 0 is the worst of these.
- nothing: what describes the inside of a model, where a broken one has no good or bad value; and
  scores without a worst value, such as what is lost without heads: a model that has nothing to
  lose has 0, which would look good.
"""

from runner.metric_names import Metric, Worth

NONE_RIGHT = Metric(Worth.fixed, 0.0)

METRICS: dict[str, Metric] = {}
"""Name -> declaration. Each page adds its own when it is imported."""
