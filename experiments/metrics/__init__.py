"""Declarations of the experiments' metrics, with their values for diverged trials. No torch.

A declaration also applies to all finer names: `ffn/zero_share` covers `ffn/zero_share/layer0`. A
metric without a declaration has no value for a diverged trial, so it cannot decide a claim if
trials diverge.

Each question has a file of its name in this package, and its page adds the declarations to METRICS.
A plug-in's page can add its own:

    METRICS["mine/score"] = Metric(DivergedValue.fixed, 0.0)

This file declares no metric, because the trials of every arm depend on it: a new metric of one
question would make all trials stale. `python -m tests.metrics_page` writes the texts of the
declarations (`meaning`, `unit`, ...) to `docs/metrics.md`. Changing a text makes no trial stale.

How the values for diverged trials were chosen:

- kept: metrics that training does not change, such as costs, timings, and values from before the
  first step.
- start: losses. A diverged model counts as no better than the untrained one.
- fixed: shares of right answers, and of heads that can be removed without loss. 0 is the worst.
- nothing: metrics that describe the inside of a model, since no value of a broken model is good or
  bad. Also scores without a worst value, such as the accuracy that ablation costs. A model without
  accuracy loses 0, which would look good.
"""

from runner.metric_names import Metric

METRICS: dict[str, Metric] = {}
"""Maps names to declarations. Each page adds its own when it is imported."""
