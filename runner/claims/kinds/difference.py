"""`kind: difference`: an arm is greater or less than its control, seed by seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from runner.claims.claim_keys import is_yaml_number
from runner.claims.directed_difference import DirectedDifference, SeedDifferences
from runner.claims.evidence import Evidence, SeedValues
from runner.claims.noise import noise_floor


@dataclass(frozen=True, kw_only=True)
class Difference(DirectedDifference):
    """A claim that `arm` is greater or less than `times` x `control`, by more than `margin`.

    `other`, a metric, may replace `control`. Then `metric` of the arm is greater or less than
    `times` x `other` of the same arm. An A/A pair must agree on the difference of both metrics.
    `DirectedDifference` has the rule of the verdict.
    """

    kind: ClassVar[str] = "difference"

    arm: str
    control: str | None = None
    other: str | None = None
    times: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.control is None) == (self.other is None):
            raise ValueError(
                f"{self.error_prefix}: give either control (an arm) or other (a metric of the arm)."
            )
        if self.other == self.metric:
            raise ValueError(
                f"{self.error_prefix}: {self.metric!r} cannot be compared with itself."
            )
        if not is_yaml_number(self.times) or self.times <= 0:
            raise ValueError(f"{self.error_prefix}: times={self.times!r} must be a number above 0.")

    @property
    def compared_arms(self) -> tuple[str, ...]:
        """The control, if there is one, then the arm."""
        return (self.control, self.arm) if self.control else (self.arm,)

    @property
    def estimate_label(self) -> str:
        """The estimated quantity, in words."""
        factor = "" if self.times == 1 else f"{self.times:g} x "
        if self.other:
            return f"{self.arm}: {self.metric} minus {factor}{self.other}"
        return f"{self.arm} minus {factor}{self.control}"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metric, and the other one."""
        return (self.metric, self.other) if self.other else (self.metric,)

    @property
    def named_metrics(self) -> tuple[str, ...]:
        """The claim's metric, the other metric, and the metric of the positive control."""
        return (*super().named_metrics, *([self.other] if self.other else ()))

    def scores(self, evidence: Evidence, arms: Sequence[str]) -> SeedValues:
        """Return the metric of each arm; with `other`, its difference from `times` x `other`."""
        if self.other is None:
            return super().scores(evidence, arms)
        sides = [self.sides(evidence, arm) for arm in arms]
        seeds = sorted(set.intersection(*(set(side.seeds) for side in sides)))
        evidence.check_enough_seeds(seeds, self.n)
        values = [
            [side.differences(self.times)[side.seeds.index(seed)] for side in sides]
            for seed in seeds
        ]
        return SeedValues(np.array(values), tuple(seeds), self.n)

    def sides(self, evidence: Evidence, arm: str) -> SeedValues:
        """Return both sides of the comparison: the arm's metric, then the control's or `other`."""
        right = (arm, self.other) if self.other else (self.control or "", self.metric)
        return evidence.seed_values([(arm, self.metric), right], self.n)

    def seed_differences(self, evidence: Evidence) -> SeedDifferences:
        """Return the paired differences; see `DirectedDifference.seed_differences`."""
        block = self.sides(evidence, self.arm)
        # With `other`, each arm's score contains the factor already.
        floor = noise_floor(self, evidence, self.times if self.control else 1.0)
        return SeedDifferences(
            block.differences(self.times), block, floor, evidence.unit(self.metric)
        )
