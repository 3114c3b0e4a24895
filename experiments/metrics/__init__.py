"""What the metrics of the science are worth for a diverged trial. No torch.

A name stands for all finer ones: `ffn/zero_share` for `ffn/zero_share/layer0` too. A metric that is
not declared is worth nothing, which bars it from deciding where trials diverge.

Each question's declarations stand in the file of its name beside this one, and its page adds them.
A plug-in's page can add its own: `METRICS["mine/score"] = Metric(Worth.fixed, 0.0)`. None stands in
this file, which is behind the numbers of every arm: a new metric of one question would make the
trials of all others stale. The texts of a declaration (`meaning`, `unit`, ...) become
`docs/metrics.md` by `python -m tests.metrics_page`; no trial is stale when they change.

How the worth was chosen:

- kept: what no training changes, such as costs, timings, and values from before the first step.
- start: losses, which say how good a model is, as the untrained model has them.
- fixed: shares of right answers, and of heads that can go without loss. 0 is the worst of these.
- nothing: what describes the inside of a model, where a broken one has no good or bad value; and
  scores without a worst value, such as what is lost without heads: a model that has nothing to
  lose has 0, which would look good.
"""

from runner.metric_names import Metric

METRICS: dict[str, Metric] = {}
"""Name -> declaration. Each page adds its own when it is imported."""
