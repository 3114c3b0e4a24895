"""The declarations of a run's metrics and options, as its report used them. Imports no torch.

A plug-in declares its metrics when it is imported, and `redraw` imports no plug-ins. So study.json
holds the declarations that the report used. For a run of an older version, which lacks them, the
declarations of this process count.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
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


def to_record(experiment: str, metrics: Iterable[str]) -> dict[str, Any]:
    """Return the declarations of these metrics and of the experiment's options, for study.json."""
    return {
        METRICS_KEY: {name: _fields(registry.metric(name)) for name in sorted({*metrics})},
        AFFECTS_KEY: registry.affected_metrics(experiment),
    }


def metrics_of(summary: Mapping[str, Any], results: pd.DataFrame) -> dict[str, Metric]:
    """Return the declarations of the metrics of final values, from the summary of a run.

    A loss of the user's own, which may be below 0, has no limits.
    """
    known = summary.get(METRICS_KEY, {})
    declared = {
        name: _metric(name, known[name]) if name in known else registry.metric(name)
        for name in results["metric"].unique()
    }
    for name, metric in declared.items():
        if _is_loss(name) and not _is_loss_of_ours(results[results["metric"] == name]):
            declared[name] = dataclasses.replace(metric, lowest=-math.inf, highest=math.inf)
    return declared


def _is_loss(metric: str) -> bool:
    """Return whether a metric is a loss of a task: it is declared in the units of losses."""
    return {*registry.metric(metric).unit.split(" or ")} <= {*LOSS_UNITS}


def _is_loss_of_ours(rows: pd.DataFrame) -> bool:
    """Return whether the values of a loss have units of ablab's, and none is below 0."""
    units = {str(unit).partition(" of ")[0] for unit in rows["unit"]}  # nats/token of 4096
    return units <= {*LOSS_UNITS} and not (rows["value"] < 0).any()


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
