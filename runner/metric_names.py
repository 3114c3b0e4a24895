"""Names of metrics and units, each listed once: costs, machine units, worth, templates.

A declaration says what a metric is worth for a diverged trial, and whether it needs a test; its
texts say what the metric means. `runner.trial.metrics` declares the engine's own metrics, and a
question its own (`experiments.metrics`). `runner.trial.science.metric` looks a name up. No torch.

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

from runner.config import By

COSTS: Mapping[str, str] = {
    By.params: "parameters",
    By.active_params: "active parameters",
    By.flops: "FLOPs a token",
    By.kv_bytes: "bytes of keys and values a token",
}
"""The costs that arms can be matched by, in words."""

COST_METRICS = ("cost/parameters", "cost/active_parameters", "cost/flops_per_token", "time/step")
"""The metrics of the cost table."""

MACHINE_UNITS = frozenset(("s", "ms", "us", "tokens/s", "samples/s", "MiB", "GB/s", "GFLOP/s"))
"""Units of clocks and allocators; nothing else carries them."""


class Worth(StrEnum):
    """What a metric is worth for a trial that has diverged.

    kept     the value stands: it does not depend on how the training ended (a count, a cost, what
             was measured before training)
    start    what it was before training, as the trial's own first evaluation logged it
    fixed    the declared `value`: the worst possible one
    nothing  no value: a comparison then says that seeds are missing, and decides nothing
    """

    kept = "kept"
    start = "start"
    fixed = "fixed"
    nothing = "nothing"


@dataclass(frozen=True)
class Metric:
    """The declaration of a metric and of all finer ones, whose names continue it after a slash.

    A `*` in a declared name stands for any letters between two slashes. The fields after `curve`
    are the metric's texts: `docs/metrics.md` shows them, and no number depends on them.

    Attributes:
        diverged: the kind of value that the metric has for a diverged trial.
        value: that value, where it is `fixed`.
        deterministic: whether the metric is a count that no seed changes, such as bytes of a
            cache. Two arms are then compared without a test.
        curve: the curve whose first value `start` takes, where it is not the metric's own.
        meaning: one sentence that says what the metric is.
        unit: the unit that it is recorded with; " or " stands between several.
        formula: how it is computed; empty for a plain count.
        source: the paper that defines it and the place in it; empty for a plain count or average.
        better: which values are better; empty where neither are.
    """

    diverged: Worth = Worth.nothing
    value: float = math.nan
    deterministic: bool = False
    curve: str = ""
    meaning: str = field(default="", kw_only=True, compare=False)
    unit: str = field(default="", kw_only=True, compare=False)
    formula: str = field(default="", kw_only=True, compare=False)
    source: str = field(default="", kw_only=True, compare=False)
    better: Literal["less", "greater", ""] = field(default="", kw_only=True, compare=False)

    def __post_init__(self) -> None:
        if (self.diverged is Worth.fixed) != math.isfinite(self.value):
            raise ValueError("value is the worth of a `fixed` metric, and of no other")
        if self.better not in ("less", "greater", ""):
            raise ValueError(f"better={self.better!r} must be less, greater or empty")


TEXTS = frozenset(("meaning", "unit", "formula", "source", "better"))
"""The fields of `Metric` that describe it and decide nothing: the code hash leaves them out."""

KEPT, START, NOTHING = Metric(Worth.kept), Metric(Worth.start), Metric()
COUNT = Metric(Worth.kept, deterministic=True)


def find(name: str, known: Mapping[str, Metric]) -> Metric | None:
    """Find the declaration of the longest known name that `name` is or continues; None without one.

    A plain name goes before one with a `*` of the same length.
    """
    parts = name.split("/")
    patterns = [key.split("/") for key in known if "*" in key]
    for end in range(len(parts), 0, -1):
        head = parts[:end]
        if (found := known.get("/".join(head))) is not None:
            return found
        for pattern in patterns:
            if len(pattern) == end and all(map(fnmatchcase, head, pattern)):
                return known["/".join(pattern)]
    return None


def declared(name: str, known: Mapping[str, Metric]) -> Metric:
    """Find the declaration as `find` does; a metric without one is worth nothing."""
    return find(name, known) or NOTHING


def worth(
    name: str, value: float, metric: Metric, first: Mapping[str, float]
) -> tuple[float, bool]:
    """Judge a final value of a diverged trial: what it counts as, and whether that is clipped.

    `first` holds the first logged value of each curve. A clipped value stands for the trial and was
    not measured. Without a first value there is none.
    """
    if metric.diverged is Worth.kept:
        return value, False
    if metric.diverged is Worth.nothing:
        return math.nan, False
    counted = first.get(metric.curve or name, math.nan)
    if metric.diverged is Worth.fixed:
        counted = metric.value
    return counted, math.isfinite(counted)


def placeholders(template: str) -> list[str]:
    """Return the names in braces, in order."""
    return re.findall(r"\{(\w+)\}", template)


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Put values into a template's placeholders; a placeholder without a value stays."""
    return re.sub(r"\{(\w+)\}", lambda m: str(values.get(m[1], m[0])), template)


def pattern(template: str) -> re.Pattern[str]:
    """Compile what a template matches; a placeholder is anything without a slash."""
    parts = re.split(r"\{(\w+)\}", template)
    quoted = [re.escape(p) if i % 2 == 0 else f"(?P<{p}>[^/]+)" for i, p in enumerate(parts)]
    return re.compile("".join(quoted))
