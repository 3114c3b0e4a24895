"""`kind: exact`: an equality or a bound that must hold at every seed, without statistics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from runner.claims.claim import Claim
from runner.claims.claim_keys import check_one_of, is_yaml_number
from runner.claims.evidence import Evidence
from runner.claims.measurement import Measurement
from runner.metric_names import fill_template, placeholders
from runner.stats.intervals import ROUNDING_TOLERANCE, Interval
from runner.wording.quantity import format_number


def equal(a: float, b: float) -> bool:
    """Return whether two numbers are equal except for rounding."""
    return abs(a - b) <= ROUNDING_TOLERANCE * max(abs(a), abs(b))


RELATIONS: Mapping[str, tuple[str, Callable[[float, float], bool]]] = {
    "equal": ("=", equal),
    "at_most": ("<=", lambda a, b: a < b or equal(a, b)),
    "at_least": (">=", lambda a, b: a > b or equal(a, b)),
    "less": ("<", lambda a, b: a < b and not equal(a, b)),
    "greater": (">", lambda a, b: a > b and not equal(a, b)),
}


@dataclass(frozen=True, kw_only=True)
class Exact(Claim):
    """A claim that `metric` of `arm` has a `relation` to the other side at every seed.

    The other side is one of:
    - the number `value`;
    - `times` x `other` of `control`: a metric and an arm, by default the same ones.

    A template means all metrics that match it; its placeholders are filled into `other`. A single
    exception contradicts the claim.
    """

    kind: ClassVar[str] = "exact"
    shows_sign: ClassVar[bool] = False
    least_n: ClassVar[int] = 1

    arm: str
    relation: str
    value: float | None = None
    control: str | None = None
    other: str | None = None
    times: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_of(f"{self.error_prefix}: relation", self.relation, tuple(RELATIONS))
        if (self.value is None) == (self.control is None and self.other is None):
            raise ValueError(f"{self.error_prefix}: give either value, or control and/or other.")
        for name in ("value", "times"):
            if not is_yaml_number(getattr(self, name) or 0.0):
                raise ValueError(
                    f"{self.error_prefix}: {name}={getattr(self, name)!r} must be a number."
                )
        unknown = set(placeholders(self.other or "")) - set(placeholders(self.metric))
        if unknown:
            raise ValueError(
                f"{self.error_prefix}: other={self.other!r} has placeholders that metric does not "
                f"have: {', '.join(sorted(unknown))}."
            )

    @property
    def compared_arms(self) -> tuple[str, ...]:
        """The control, if there is one, then the arm."""
        return (self.control, self.arm) if self.control else (self.arm,)

    @property
    def estimate_label(self) -> str:
        """The arm whose metric is checked."""
        return self.arm

    @property
    def expected(self) -> str:
        """The condition on the metric, in words."""
        sign = RELATIONS[self.relation][0]
        if self.value is not None:
            return f"{sign} {format_number(self.value)} at every seed"
        factor = "" if self.times == 1 else f"{self.times:g} x "
        side = " of ".join(filter(None, (self.other, self.control)))
        return f"{sign} {factor}{side} at every seed"

    @property
    def interval_label(self) -> str:
        """The name of the interval, in words."""
        return "smallest and largest value"

    @property
    def named_metrics(self) -> tuple[str, ...]:
        """The claim's metric, and the other metric."""
        return (*super().named_metrics, *([self.other] if self.other else ()))

    def measure(self, evidence: Evidence, family: int) -> Measurement:  # noqa: ARG002
        """Check the relation at every seed; see `runner.claims.claim.Claim.measure`."""
        matches: dict[str, dict[str, str]] = {self.metric: {}}
        if placeholders(self.metric):
            matches = evidence.find_metrics(self.arm, self.metric)
        sign, holds = RELATIONS[self.relation]
        broken, lefts, n_checked, n_clipped = [], [], 0, 0
        for metric, values in matches.items():
            columns = [(self.arm, metric)]
            if self.value is None:
                columns.append(
                    (self.control or self.arm, fill_template(self.other or self.metric, values))
                )
            block = evidence.seed_values(columns, self.n)
            n_clipped += block.n_clipped
            for seed, row in zip(block.seeds, block.deciding_values, strict=False):
                right = self.times * row[1] if self.value is None else float(self.value)
                n_checked += 1
                lefts.append(row[0])
                if not holds(row[0], right):
                    broken.append(
                        f"{metric}, seed {seed}: {format_number(row[0])} is not {sign} "
                        f"{format_number(right)}"
                    )
        n_metrics = f" of {len(matches)} metrics" if len(matches) > 1 else ""
        reason = f"holds at all {self.n} seeds{n_metrics}"
        if broken:
            reason = f"does not hold in {len(broken)} of {n_checked} cases, first in {broken[0]}"
        return Measurement(
            n=self.n,
            reason=reason,
            may_reproduce=not broken,
            may_contradict=bool(broken),
            interval=_range(np.array(lefts)),
            unit=evidence.unit(next(iter(matches))),
            invalid_reason="substitute values of diverged trials cannot decide an exact claim "
            f"({n_clipped} of them)"
            if n_clipped
            else "",
        )


def _range(values: np.ndarray) -> Interval:
    """Return mean, minimum and maximum; equal numbers have no limits."""
    low, high = float(values.min()), float(values.max())
    if equal(low, high):
        return Interval(low, np.nan, np.nan, max(2, len(values)))
    return Interval(float(values.mean()), low, high, len(values))
