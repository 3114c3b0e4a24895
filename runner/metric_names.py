"""Declarations of metrics, and lists of costs and of machine units. No torch.

A declaration has the value of a metric for a diverged trial, whether the metric needs a test, and
texts that explain it. `runner.trial.metrics` declares the engine's metrics, and each question its
own (`experiments.metrics`). `runner.trial.science.metric` returns the declaration of a name.

A template such as `moe/load/layer{layer}/expert{expert}` matches `moe/load/layer0/expert3`, where
the placeholder `layer` is 0 and `expert` is 3.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Literal

from runner.config import MatchCost

COSTS: Mapping[str, str] = {
    MatchCost.params: "parameters",
    MatchCost.active_params: "active parameters",
    MatchCost.flops: "FLOPs a token",
    MatchCost.kv_bytes: "bytes of keys and values a token",
}
"""The costs that arms can be matched by, each with its name in messages."""

COST_METRICS = ("cost/parameters", "cost/active_parameters", "cost/flops_per_token", "time/step")
"""The metrics of the cost table."""

STEP_ALONE = "time/step_alone"
"""The time of a training step while no other trial uses the machine; only claims ask for it."""

MACHINE_UNITS = frozenset(("s", "ms", "us", "tokens/s", "samples/s", "MiB", "GB/s", "GFLOP/s"))
"""Units of clocks and allocators; other metrics have other units."""


class DivergedValue(StrEnum):
    """The diverged value of a metric: how its value for a diverged trial is determined.

    kept     the recorded value, which does not depend on the end of the training (a count, a cost,
             a measurement before training)
    start    the value before training, which the trial's own first evaluation logged
    fixed    the declared `value`: the worst possible one
    nothing  no value: a comparison reports missing seeds and is undecided
    """

    kept = "kept"
    start = "start"
    fixed = "fixed"
    nothing = "nothing"


@dataclass(frozen=True)
class Metric:
    """The declaration of a metric and of finer metrics, whose names continue it after a slash.

    A `*` in a declared name matches any text between two slashes. The fields after `curve` describe
    the metric: `docs/metrics.md` and reports show them, and no number depends on them.

    Attributes:
        diverged: how the value for a diverged trial is determined.
        value: the value for a diverged trial, if `diverged` is `fixed`.
        deterministic: whether the metric is a count that no seed changes, such as bytes of a
            cache. Two arms are then compared without a test.
        curve: the curve whose first value `start` takes; empty for the metric's own curve.
        meaning: one sentence that explains the metric.
        unit: the unit that it is recorded with; several are joined by " or ".
        formula: how it is computed; empty for a plain count.
        source: the paper that defines it and the place in it; empty for a plain count or average.
        better: whether lower or higher values are better; empty if neither are.
        label: the metric in a few words, for tables and figures; `metric_label` adds the rest of a
            finer name.
        lowest: the lowest possible value; intervals are drawn from here at the lowest.
        highest: the highest possible value.
        exchangeable: `expert` or `head` if the metric's finer names have such numbers. Expert 3 of
            one seed has no counterpart under another seed, so its mean over seeds means nothing.
    """

    diverged: DivergedValue = DivergedValue.nothing
    value: float = math.nan
    deterministic: bool = False
    curve: str = ""
    meaning: str = field(default="", kw_only=True, compare=False)
    unit: str = field(default="", kw_only=True, compare=False)
    formula: str = field(default="", kw_only=True, compare=False)
    source: str = field(default="", kw_only=True, compare=False)
    better: Literal["less", "greater", ""] = field(default="", kw_only=True, compare=False)
    label: str = field(default="", kw_only=True, compare=False)
    lowest: float = field(default=-math.inf, kw_only=True, compare=False)
    highest: float = field(default=math.inf, kw_only=True, compare=False)
    exchangeable: str = field(default="", kw_only=True, compare=False)

    def __post_init__(self) -> None:
        for name, kinds in FIELD_TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or (kinds is NUMBER and isinstance(value, bool)):
                words = {
                    DivergedValue: "such as DivergedValue.kept",
                    bool: "True or False",
                    str: "a text",
                }
                raise ValueError(f"Metric: {name}={value!r} must be {words.get(kinds, 'a number')}")
        if not self.lowest <= self.highest:
            raise ValueError(f"Metric: lowest={self.lowest} is above highest={self.highest}")
        if self.exchangeable not in ("", "expert", "head"):
            raise ValueError(
                f"Metric: exchangeable={self.exchangeable!r} must be expert, head or empty"
            )
        if (self.diverged is DivergedValue.fixed) != math.isfinite(self.value):
            raise ValueError("`value` is needed for a `fixed` metric, and allowed for no other")
        if self.better not in ("less", "greater", ""):
            raise ValueError(f"better={self.better!r} must be less, greater or empty")


NUMBER = (int, float)
FIELD_TYPES: Mapping[str, Any] = {
    "diverged": DivergedValue,
    "value": NUMBER,
    "deterministic": bool,
    **dict.fromkeys(
        ("curve", "meaning", "unit", "formula", "source", "better", "label", "exchangeable"), str
    ),
    "lowest": NUMBER,
    "highest": NUMBER,
}
"""The type of each field of `Metric`."""

DISPLAY = ("label", "lowest", "highest", "exchangeable")
"""The fields of `Metric` that a report shows or draws with."""

TEXTS = frozenset(("meaning", "unit", "formula", "source", "better", *DISPLAY))
"""The fields of `Metric` that only describe it: the code hash leaves them out."""

KEPT_IF_DIVERGED, START_IF_DIVERGED, NOTHING_IF_DIVERGED = (
    Metric(DivergedValue.kept),
    Metric(DivergedValue.start),
    Metric(),
)
COUNT = Metric(DivergedValue.kept, deterministic=True)


def find_metric(name: str, known: Mapping[str, Metric]) -> Metric | None:
    """Return the declaration of the longest known name that `name` is or continues; else None.

    A plain name takes precedence over a name with a `*` of the same length.
    """
    declared = find_declared_name(name, known)
    return None if declared is None else known[declared]


def find_declared_name(name: str, known: Mapping[str, Metric]) -> str | None:
    """Return the longest known name that `name` is or continues; else None."""
    parts = name.split("/")
    patterns = [key.split("/") for key in known if "*" in key]
    for end in range(len(parts), 0, -1):
        head = parts[:end]
        if "/".join(head) in known:
            return "/".join(head)
        for pattern in patterns:
            if len(pattern) == end and all(map(fnmatchcase, head, pattern)):
                return "/".join(pattern)
    return None


def find_metric_or_default(name: str, known: Mapping[str, Metric]) -> Metric:
    """Return the declaration of a metric; a metric without one has no value if a trial diverged."""
    return find_metric(name, known) or NOTHING_IF_DIVERGED


def value_if_diverged(
    name: str, value: float, metric: Metric, first: Mapping[str, float]
) -> tuple[float, bool]:
    """Return the value that a metric of a diverged trial counts as, and whether it is clipped.

    A clipped value replaces the measured value.

    Args:
        name: the name of the metric.
        value: its recorded final value.
        metric: its declaration.
        first: the first logged value of each curve. A metric without one gets NaN for `start`.
    """
    if metric.diverged is DivergedValue.kept:
        return value, False
    if metric.diverged is DivergedValue.nothing:
        return math.nan, False
    counted = first.get(metric.curve or name, math.nan)
    if metric.diverged is DivergedValue.fixed:
        counted = metric.value
    return counted, math.isfinite(counted)


def metric_label(name: str, known: Mapping[str, Metric]) -> str:
    """Return the name of a metric or template in words, such as `share of assignments, expert 3`.

    It begins with the label of the metric's declaration. A `*` in the label stands for the label of
    the metric that the first `*` in the declared name stands for. Then follow the segments that a
    finer name adds: `layer0` as "layer 0", and `layer{layer}/head{head}` as "by layer and head".
    A metric without a declaration has its name only.
    """
    declared = find_declared_name(name, known)
    if declared is None:
        return name
    segments, pattern = name.split("/"), declared.split("/")
    label = known[declared].label or "/".join(segments[: len(pattern)])
    details: list[str] = []
    for index, segment in enumerate(segments):
        before, star, after = pattern[index].partition("*") if index < len(pattern) else ("",) * 3
        if index < len(pattern) and not star:
            continue
        text = segment[len(before) : len(segment) - len(after)]
        if star and "*" in label:
            other = "/".join([*segments[:index], text])
            other_label = metric_label(other, known)
            label = label.replace("*", text if other_label == other else other_label)
        elif text.isdigit() and not before.isalpha():
            details.append(f"{text} {segments[index - 1].rpartition('_')[2]}")  # digits/6: 6 digits
        else:
            details.append(segment if before.isalpha() else text)
    places = [match[1] or match[2] for each in details if (match := _PLACE.fullmatch(each))]
    words = [_separate(each) for each in details if not _PLACE.fullmatch(each)]
    by = " and ".join(filter(None, [", ".join(places[:-1]), *places[-1:]]))
    return ", ".join([label, *words, *([f"by {by}"] if by else [])])


_PLACE = re.compile(r"([a-z]*)\{(\w+)\}")


def _separate(segment: str) -> str:
    return re.sub(r"(?<=[a-z])(?=\d)", " ", segment).replace("_", " ")


def has_exchangeable_part(name: str, metric: Metric) -> bool:
    """Return whether a metric belongs to one expert or head, which no other seed corresponds to."""
    stem = metric.exchangeable
    return bool(stem) and any(re.fullmatch(rf"{stem}\d+", part) for part in name.split("/"))


def placeholders(template: str) -> list[str]:
    """Return the names of a template's placeholders, in order."""
    return re.findall(r"\{(\w+)\}", template)


def fill_template(template: str, values: Mapping[str, Any]) -> str:
    """Fill values into a template's placeholders; a placeholder without a value stays."""
    return re.sub(r"\{(\w+)\}", lambda m: str(values.get(m[1], m[0])), template)


def template_pattern(template: str) -> re.Pattern[str]:
    """Compile a pattern for a template; a placeholder matches any text without a slash."""
    parts = re.split(r"\{(\w+)\}", template)
    quoted = [re.escape(p) if i % 2 == 0 else f"(?P<{p}>[^/]+)" for i, p in enumerate(parts)]
    return re.compile("".join(quoted))
