"""What was declared of a run's metrics and options when it was reported. Imports no torch.

A plug-in declares these when it is imported, and `redraw` imports none. So study.json holds the
declarations that the report has used; where a run of an older version lacks them, those of this
process count.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from runner import registry
from runner.metric_names import TEXTS, Metric, Worth

METRICS, AFFECTS = "declared", "affects"  # their keys in study.json
DECIDING = tuple(f.name for f in dataclasses.fields(Metric) if f.name not in TEXTS)
"""The fields of a declaration that a report relies on."""


def to_record(experiment: str, metrics: Iterable[str]) -> dict[str, Any]:
    """Return what study.json holds of these metrics and of the experiment's options."""
    return {
        METRICS: {name: _fields(registry.metric(name)) for name in sorted({*metrics})},
        AFFECTS: registry.affects(experiment),
    }


def metrics_of(summary: Mapping[str, Any], metrics: Iterable[str]) -> dict[str, Metric]:
    """Return the declarations of these metrics, as the summary of a run has them."""
    known = summary.get(METRICS, {})
    return {
        name: _metric(known[name]) if name in known else registry.metric(name)
        for name in dict.fromkeys(metrics)
    }


def affects_of(summary: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the metrics that each measuring option affects, as the summary of a run has them."""
    if AFFECTS not in summary:
        return registry.affects(str(summary["experiment"]))
    return {option: tuple(starts) for option, starts in summary[AFFECTS].items()}


def _fields(metric: Metric) -> dict[str, Any]:
    return {name: getattr(metric, name) for name in DECIDING}


def _metric(values: Mapping[str, Any]) -> Metric:
    value = math.nan if values["value"] is None else float(values["value"])  # JSON has no NaN
    return Metric(Worth(values["diverged"]), value, values["deterministic"], values["curve"])
