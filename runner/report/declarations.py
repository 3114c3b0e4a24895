"""The declarations of a run's metrics and options, as its report used them. Imports no torch.

A plug-in declares its metrics when it is imported, and `redraw` imports no plug-ins. So study.json
holds the declarations that the report used. For a run of an older version, which lacks them, the
declarations of this process count.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from runner import registry
from runner.metric_names import DISPLAY, TEXTS, DivergedValue, Metric

METRICS_KEY, AFFECTS_KEY = "declared", "affects"  # their keys in study.json
RECORDED = (*(f.name for f in dataclasses.fields(Metric) if f.name not in TEXTS), *DISPLAY)
"""The fields of a declaration that affect a report."""
LOSS_UNITS = ("nats/token", "nats/byte", "mse")
"""The units of ablab's losses, which are never below 0. A task of the user may have another loss,
such as a log density, whose unit is another one."""
ROUNDING = 1e-6
"""A sum of float32 may be below 0 by this much, though none of its terms is."""


def to_record(experiment: str, results: pd.DataFrame) -> dict[str, Any]:
    """Return the declarations of final values and of the experiment's options, for study.json."""
    values = FinalValues.of(results)
    return {
        METRICS_KEY: {name: _fields(_declared_here(name, values)) for name in sorted(values.units)},
        AFFECTS_KEY: registry.affected_metrics(experiment),
    }


def metrics_of(summary: Mapping[str, Any], results: pd.DataFrame) -> dict[str, Metric]:
    """Return the declarations of the metrics of final values, from the summary of a run."""
    known = summary.get(METRICS_KEY, {})
    values = FinalValues.of(results)
    return {
        name: _without_refuted_limit(_metric(name, known[name]), name, values)
        if name in known
        else _declared_here(name, values)
        for name in values.units
    }


@dataclasses.dataclass(frozen=True)
class FinalValues:
    """What final values show of their metrics: the units, and which metrics are below 0."""

    units: Mapping[str, set[str]]
    below_zero: frozenset[str]

    @classmethod
    def of(cls, results: pd.DataFrame) -> "FinalValues":
        """Read a table of final values once, since it has a row for each metric of each trial."""
        units: dict[str, set[str]] = {}
        pairs = results[["metric", "unit"]].drop_duplicates()
        for name, unit in zip(pairs["metric"], pairs["unit"], strict=True):
            units.setdefault(name, set()).add(str(unit))
        return cls(units, frozenset(results["metric"][results["value"] < -ROUNDING]))


def _declared_here(name: str, values: FinalValues) -> Metric:
    """Return this process's declaration of a metric; a loss of the user's own has no limits."""
    metric = registry.metric(name)
    units = {unit.partition(" of ")[0] for unit in values.units[name]}
    is_loss = {*metric.unit.split(" or ")} <= {*LOSS_UNITS}
    if is_loss and not units <= {*LOSS_UNITS}:
        return dataclasses.replace(metric, lowest=-math.inf, highest=math.inf)
    return _without_refuted_limit(metric, name, values)


def _without_refuted_limit(metric: Metric, name: str, values: FinalValues) -> Metric:
    """Return a declaration without the lower limit 0 if a value is below it."""
    if metric.lowest == 0 and name in values.below_zero:
        return dataclasses.replace(metric, lowest=-math.inf)
    return metric


def affects_of(summary: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the metrics that each measuring option affects, from the summary of a run."""
    if AFFECTS_KEY not in summary:
        return registry.affected_metrics(str(summary["experiment"]))
    return {option: tuple(starts) for option, starts in summary[AFFECTS_KEY].items()}


def labels_of(declared: Mapping[str, Metric]) -> dict[str, Metric]:
    """Return the declarations that name a run's metrics in words, for `metric_label`.

    They are those of this process, and for other metrics, such as a plug-in's, those of the run.
    """
    return {**label_stems(declared), **registry.known_metrics()}


def label_stems(declared: Mapping[str, Metric]) -> dict[str, Metric]:
    """Return the declarations that have a label, by the name that all their finer names begin with.

    study.json holds `moe/load/layer0/expert3`, but not its stem `moe/load`, to which the label
    belongs. The stem of metrics with one label is their longest common beginning.
    """
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for name, metric in declared.items():
        if metric.label and "*" not in metric.label:
            segments = name.split("/")
            groups.setdefault((metric.label, *segments[:2]), []).append(segments)
    stems = {}
    for names in groups.values():
        same = itertools.takewhile(lambda column: len({*column}) == 1, zip(*names, strict=False))
        stems["/".join(column[0] for column in same)] = declared["/".join(names[0])]
    return stems


def _fields(metric: Metric) -> dict[str, Any]:
    return {name: getattr(metric, name) for name in RECORDED}


def _metric(name: str, values: Mapping[str, Any]) -> Metric:
    """Return a recorded declaration; for one of an older version, with our label and limits."""
    value = math.nan if values["value"] is None else float(values["value"])  # JSON has no NaN
    if missing := [field for field in DISPLAY if field not in values]:
        ours = registry.metric(name)
        values = {**values, **{field: getattr(ours, field) for field in missing}}
    lowest, highest = values["lowest"], values["highest"]  # None: no limit
    return Metric(
        DivergedValue(values["diverged"]),
        value,
        values["deterministic"],
        values["curve"],
        label=values["label"],
        lowest=-math.inf if lowest is None else float(lowest),
        highest=math.inf if highest is None else float(highest),
        exchangeable=values["exchangeable"],
    )
