"""What arms that are compared differ in beside their parts, and what they cost.

Parts are the groups that experiments are about (attention, ffn, norm) and the width that matching
solves. A difference in anything else (training, task, data, device, model, matching, options) is
told wherever two arms are compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.metric_names import COSTS

ConditionValue = float | int | str | bool
TOLERANCE = "match.tolerance"
DATA = "data"
CONDITIONS = ("training", "task", "device", "options", "match")  # what is no part
NEGLIGIBLE_COST_EXCESS = 0.01  # share of a cost that goes without saying
SHOWN = 4  # keys that a sentence names


@dataclass(frozen=True)
class Fairness:
    """The conditions under which each arm was trained and measured.

    values     arm -> key -> value, for all keys outside the parts; `data` is the fingerprint
    affects    option -> the metrics that it has an influence on, by the beginnings of their names;
               for options that only say what is measured. Options that are absent affect all
    tolerance  the preset's `match.tolerance`: what an arm or the command line adds is a difference
    costs      arm -> `match.by` -> cost
    tuned      the keys that were tuned for each arm: their values may differ
    """

    conditions: Mapping[str, Mapping[str, ConditionValue]] = field(default_factory=dict)
    affects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tolerance: float = 0.01
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    tuned_keys: frozenset[str] = frozenset()

    def unequal_settings(self, metric: str, arm: str, other: str) -> dict[str, tuple[str, str]]:
        """Key -> (value of the arm, value of the other), for what differs and concerns the metric.

        The fingerprint of the data is named only where no key of the task explains it. Where the
        option of a group is another (`task.kind`), the keys that follow from that are left out.
        """
        if not {arm, other} <= {*self.conditions}:
            return {}
        mine, theirs = self.conditions[arm], self.conditions[other]
        widths = {v.get("match.solve") for v in (mine, theirs) if v.get("match.by") in COSTS}
        found = {
            key: (_text(mine.get(key)), _text(theirs.get(key)))
            for key in sorted({*mine, *theirs})
            if mine.get(key) != theirs.get(key)
            and not (key in widths and key.split(".")[0] not in CONDITIONS)
            and self._concerns(key, metric)
        }
        if any(key.startswith("task.") for key in found):
            found.pop(DATA, None)
        for kind in [key for key in found if key.endswith(".kind")]:
            group = kind.removesuffix("kind")
            found = {k: v for k, v in found.items() if k == kind or not k.startswith(group)}
        if TOLERANCE not in found:
            widest = max(float(v.get(TOLERANCE, self.tolerance)) for v in (mine, theirs))
            if widest > self.tolerance:
                found[TOLERANCE] = (f"{widest:g}", f"{self.tolerance:g} in the preset")
        return found

    def same_data(self, arm: str, other: str) -> bool:
        """Whether two arms learn from the same data, as far as that is known."""
        return self.conditions.get(arm, {}).get(DATA) == self.conditions.get(other, {}).get(DATA)

    def cost_comparison(self, arm: str, other: str) -> tuple[str, float]:
        """The cost by which two arms are compared, and the arm's over the other's.

        It is the cost that the arm, or else the other, is matched in; parameters if neither is.
        A ratio that is not known is NaN.
        """
        matched = [
            str(self.conditions.get(name, {}).get("match.by", "none")) for name in (arm, other)
        ]
        by = next((name for name in matched if name in COSTS), "params")
        return by, self.cost_ratio(by, arm, other)

    def cost_ratio(self, by: str, arm: str, other: str) -> float:
        """An arm's cost over another's; NaN where one is not known."""
        mine, theirs = (self.costs.get(name, {}).get(by) for name in (arm, other))
        if mine is None or theirs is None:
            return float("nan")
        if not theirs:
            return 1.0 if not mine else float("inf")
        return mine / theirs

    def format_cost_difference(self, arm: str, other: str) -> str:
        """What must be said of the costs of two arms: ", at 24.4 % more parameters"; "" if nothing.

        Parameters are told too where the arms were matched in another cost.
        """
        by, ratio = self.cost_comparison(arm, other)
        told = [] if self.is_matched(ratio) else [format_cost_ratio(by, ratio)]
        parameters = self.cost_ratio("params", arm, other)
        if by != "params" and not self.is_matched(parameters):
            told = told or [f"at equal {COSTS[by]}"]
            told.append(format_cost_ratio("params", parameters).removeprefix("at "))
        return f", {' and '.join(told)}" if told else ""

    def is_matched(self, ratio: float) -> bool:
        """Whether a ratio of costs is 1 within 1 % or a stricter preset, or is not known."""
        return not abs(ratio - 1) > min(self.tolerance, NEGLIGIBLE_COST_EXCESS)

    def _concerns(self, key: str, metric: str) -> bool:
        if key in self.tuned_keys:
            return False
        section, _, name = key.partition(".")
        if section != "options" or name not in self.affects:
            return True
        return any(metric.startswith(start) for start in self.affects[name])


def format_cost_ratio(by: str, ratio: float) -> str:
    """A ratio of costs in words: "at 24.4 % more parameters", "at 3.0 x the parameters"."""
    if ratio >= 2:
        name = COSTS[by]
        return f"at {ratio:.1f} x the {name}" if ratio < 1e6 else f"at far more {name}"
    return f"at {format_cost_excess(by, ratio)}"


def format_cost_excess(by: str, ratio: float) -> str:
    """How far a ratio of costs is from 1, in words: "24.4 % more parameters"."""
    percent = 100 * abs(ratio - 1)
    number = f"{percent:.0f}" if percent >= 99.5 else f"{percent:.3g}"
    return f"{number} % {'more' if ratio > 1 else 'fewer'} {COSTS[by]}"


def format_unequal_settings(unequal: Mapping[str, tuple[str, str]]) -> str:
    """What differs, in words: "training.steps (40 against 20)"; long lists are cut, and counted."""
    told = [f"{key} ({mine} against {theirs})" for key, (mine, theirs) in unequal.items()]
    if len(told) > SHOWN:
        told = [*told[: SHOWN - 1], f"{len(told) - SHOWN + 1} more keys"]
    return " and ".join(filter(None, [", ".join(told[:-1]), told[-1]])) if told else ""


def _text(value: ConditionValue | None) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
