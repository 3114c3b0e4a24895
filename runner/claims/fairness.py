"""Settings outside the parts in which compared arms differ, and the costs of the arms.

Parts are the groups of an arm (attention, ffn, norm) and the width that `match.solve` sets. Each
comparison of two arms names all other differences: training, task, data, device, model, options.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.metric_names import COSTS
from runner.wording.phrases import join_with_and

ConditionValue = float | int | str | bool
TOLERANCE, SOLVE = "match.tolerance", "match.solve"
DATA, TASK_KIND = "data", "task.kind"
CONDITIONS = ("training", "task", "device", "options", "match")  # groups that are not parts
NEGLIGIBLE_COST_EXCESS = 0.01  # difference as a share of a cost that texts leave out
MAX_KEYS = 4  # keys that a sentence names


@dataclass(frozen=True)
class Fairness:
    """The conditions under which each arm was trained and measured.

    conditions  arm -> key -> value, for all keys outside the parts; `data` is the fingerprint
    affects     option -> prefixes of the metrics that it affects, for options that only control
                measurements; an option that is absent here affects all metrics
    tolerance   the preset's `match.tolerance`; a larger one of an arm counts as a difference
    costs       arm -> `match.by` -> cost
    tuned_keys  the keys that were tuned for each arm: their values may differ
    """

    conditions: Mapping[str, Mapping[str, ConditionValue]] = field(default_factory=dict)
    affects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tolerance: float = 0.01
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    tuned_keys: frozenset[str] = frozenset()

    def unequal_settings(self, metric: str, arm: str, other: str) -> dict[str, tuple[str, str]]:
        """Return {key: (value of arm, value of other)} for differences that affect a metric.

        - The data's fingerprint is left out if a key of the task differs, which explains it.
        - Two names of a width in one part, such as `ffn.hidden` and `ffn.d_ff`, are no difference.
        - If two arms have different options of a group (`task.kind`), that group's other keys are
          left out.
        """
        if not {arm, other} <= {*self.conditions}:
            return {}
        mine, theirs = self.conditions[arm], self.conditions[other]
        widths = {v.get(SOLVE) for v in (mine, theirs) if v.get("match.by") in COSTS}
        unequal = {
            key: (_text(mine.get(key)), _text(theirs.get(key)))
            for key in sorted({*mine, *theirs})
            if mine.get(key) != theirs.get(key)
            and not (key == SOLVE and _group(mine.get(key)) == _group(theirs.get(key)))
            and not (key in widths and key.split(".")[0] not in CONDITIONS)
            and self._concerns(key, metric)
        }
        if any(key.startswith("task.") for key in unequal):
            unequal.pop(DATA, None)
        for kind in [key for key in unequal if key.endswith(".kind")]:
            group = kind.removesuffix("kind")
            unequal = {k: v for k, v in unequal.items() if k == kind or not k.startswith(group)}
        if TOLERANCE not in unequal:
            widest = max(float(v.get(TOLERANCE, self.tolerance)) for v in (mine, theirs))
            if widest > self.tolerance:
                unequal[TOLERANCE] = (f"{widest:g}", f"{self.tolerance:g} in the preset")
        return unequal

    def same_data(self, arm: str, other: str) -> bool:
        """Return whether two arms have the same data; true if the data of both is unknown."""
        return self.conditions.get(arm, {}).get(DATA) == self.conditions.get(other, {}).get(DATA)

    def same_task(self, arm: str, other: str) -> bool:
        """Return whether two arms have the same kind of task; true if a kind is unknown."""
        kinds = {self.conditions.get(name, {}).get(TASK_KIND) for name in (arm, other)}
        return len(kinds - {None}) < 2

    def cost_comparison(self, arm: str, other: str) -> tuple[str, float]:
        """Return the name of the cost to compare two arms in, and its ratio, arm to other.

        The cost is the one in which the arm is matched, otherwise the one of the other arm. If
        neither is matched, it is the number of parameters. An unknown ratio is NaN.
        """
        matched = [
            str(self.conditions.get(name, {}).get("match.by", "none")) for name in (arm, other)
        ]
        by = next((name for name in matched if name in COSTS), "params")
        return by, self.cost_ratio(by, arm, other)

    def cost_ratio(self, by: str, arm: str, other: str) -> float:
        """Return an arm's cost divided by another's; NaN if one is unknown."""
        mine, theirs = (self.costs.get(name, {}).get(by) for name in (arm, other))
        if mine is None or theirs is None:
            return float("nan")
        if not theirs:
            return 1.0 if not mine else float("inf")
        return mine / theirs

    def format_cost_difference(self, arm: str, other: str) -> str:
        """Return the cost difference of two arms as ", at 24.4 % more parameters"; "" if matched.

        The text also names parameters if the arms were matched in another cost.
        """
        by, ratio = self.cost_comparison(arm, other)
        phrases = [] if self.is_matched(ratio) else [format_cost_ratio(by, ratio)]
        parameters = self.cost_ratio("params", arm, other)
        if by != "params" and not self.is_matched(parameters):
            phrases = phrases or ([f"at equal {COSTS[by]}"] if math.isfinite(ratio) else [])
            ratio_text = format_cost_ratio("params", parameters)
            phrases.append(ratio_text.removeprefix("at ") if phrases else ratio_text)
        return f", {' and '.join(phrases)}" if phrases else ""

    def is_matched(self, ratio: float) -> bool:
        """Return whether a ratio of costs is unknown, or is 1 within 1 % or a stricter preset."""
        return not abs(ratio - 1) > min(self.tolerance, NEGLIGIBLE_COST_EXCESS)

    def _concerns(self, key: str, metric: str) -> bool:
        if key in self.tuned_keys:
            return False
        section, _, name = key.partition(".")
        if section != "options" or name not in self.affects:
            return True
        return any(metric.startswith(start) for start in self.affects[name])


def format_cost_ratio(by: str, ratio: float) -> str:
    """Return a ratio of costs as "at 24.4 % more parameters" or "at 3.0 x the parameters"."""
    if ratio >= 2:
        name = COSTS[by]
        return f"at {ratio:.1f} x the {name}" if ratio < 1e6 else f"at far more {name}"
    return f"at {format_cost_excess(by, ratio)}"


def format_cost_excess(by: str, ratio: float) -> str:
    """Return the deviation of a ratio of costs from 1 as "24.4 % more parameters"."""
    percent = 100 * abs(ratio - 1)
    number = f"{percent:.0f}" if percent >= 99.5 else f"{percent:.3g}"
    return f"{number} % {'more' if ratio > 1 else 'fewer'} {COSTS[by]}"


def format_unequal_settings(unequal: Mapping[str, tuple[str, str]]) -> str:
    """Return differences as "training.steps (40 against 20)", of a long list some and a count."""
    texts = [f"{key} ({mine} against {theirs})" for key, (mine, theirs) in unequal.items()]
    if len(texts) > MAX_KEYS:
        texts = [*texts[: MAX_KEYS - 1], f"{len(texts) - MAX_KEYS + 1} more keys"]
    return join_with_and(texts)


def _group(key: ConditionValue | None) -> str:
    """Return the group of a key, such as `ffn` of `ffn.d_ff`; "" for no key."""
    return str(key or "").partition(".")[0]


def _text(value: ConditionValue | None) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
