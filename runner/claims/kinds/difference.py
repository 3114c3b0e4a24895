"""`kind: difference`: an arm is greater or less than its control, seed by seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from runner.claims.claim import DIRECTIONS, StatisticalClaim
from runner.claims.claim_keys import check_one_of, is_yaml_number
from runner.claims.evidence import Evidence, SeedValues
from runner.claims.measurement import Measurement, format_estimate
from runner.claims.noise import (
    MAX_NOISE_SHARE,
    check_noise,
    format_timing_passes,
    missing_aa_reason,
    noise_floor,
)
from runner.stats.intervals import Floats, mean_interval
from runner.stats.power import verdict_detectable_effect
from runner.stats.sign_flip import least_sign_flip_p, sign_flip_p

Z_80 = 0.8416  # the normal quantile of 0.8


@dataclass(frozen=True, kw_only=True)
class Difference(StatisticalClaim):
    """On `metric`, `arm` is greater or less than `times` x `control`, by more than `margin`.

    With `other`, a metric, in place of `control` the arm is compared with itself: `metric` is
    greater or less than `times` x `other`, and an A/A pair must agree on what lies between the two.

    Two things must agree: the paired 1 - alpha interval lies beyond the margin on the stated side,
    and the exact sign-flip test, two-sided and Holm-corrected, is below alpha. Contradicted is the
    same on the other side. A difference of times or memory decides nothing whose distance from the
    margin is below twice the noise floor.
    """

    kind: ClassVar[str] = "difference"
    test_name: ClassVar[str] = "sign-flip"
    sensitivity: ClassVar[str] = "smallest, with 80 % power"

    arm: str
    direction: Literal["greater", "less"]
    control: str | None = None
    other: str | None = None
    times: float = 1.0
    margin: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_of(f"{self.error_prefix}: direction", self.direction, DIRECTIONS)
        if (self.control is None) == (self.other is None):
            raise ValueError(
                f"{self.error_prefix}: give control (an arm) or other (a metric of the arm)."
            )
        if self.other == self.metric:
            raise ValueError(
                f"{self.error_prefix}: {self.metric!r} cannot be compared with itself."
            )
        if not is_yaml_number(self.times) or self.times <= 0:
            raise ValueError(f"{self.error_prefix}: times={self.times!r} must be a number above 0.")
        if not is_yaml_number(self.margin) or self.margin < 0:
            raise ValueError(
                f"{self.error_prefix}: margin={self.margin!r} must be a number from 0 up."
            )

    @property
    def compared_arms(self) -> tuple[str, ...]:
        """The control, if there is one, then the arm."""
        return (self.control, self.arm) if self.control else (self.arm,)

    @property
    def estimate_label(self) -> str:
        """What is estimated, in words."""
        factor = "" if self.times == 1 else f"{self.times:g} x "
        if self.other:
            return f"{self.arm}: {self.metric} minus {factor}{self.other}"
        return f"{self.arm} minus {factor}{self.control}"

    @property
    def edge(self) -> float:
        """The difference that must be passed."""
        return self.margin if self.direction == "greater" else 0.0 - self.margin

    @property
    def expected(self) -> str:
        """What the estimate must be, in words."""
        return f"{'above' if self.direction == 'greater' else 'below'} {self.edge:g}"

    @property
    def least_p(self) -> float:
        """All differences of one sign."""
        return least_sign_flip_p(self.n)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metric, and the other one."""
        return (self.metric, self.other) if self.other else (self.metric,)

    @property
    def named_metrics(self) -> tuple[str, ...]:
        """Its own, the other one, and that of the positive control."""
        return (*super().named_metrics, *([self.other] if self.other else ()))

    def scores(self, evidence: Evidence, arms: Sequence[str]) -> SeedValues:
        """The metric of each arm, or how far it lies from `times` x the other one."""
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
        """What is compared: the metric of the arm, and of the control or the other metric."""
        right = (arm, self.other) if self.other else (self.control or "", self.metric)
        return evidence.seed_values([(arm, self.metric), right], self.n)

    def measure(self, evidence: Evidence, family: int) -> Measurement:
        """Interval and test of the differences; `runner.claims.claim.Claim.measure` says more."""
        block = self.sides(evidence, self.arm)
        everything = block.differences(self.times)
        differences = everything[: self.n]
        interval = mean_interval(differences, 1 - self.alpha)
        p = sign_flip_p(differences - self.edge)
        above, below = interval.low > self.edge, interval.high < self.edge
        # An arm's own score, with `other`, has the factor in it.
        floor = noise_floor(self, evidence, self.times if self.control else 1.0)
        hidden, note = check_noise(
            interval, floor, self.edge, passes_text=format_timing_passes(self, evidence)
        )
        return Measurement(
            n=self.n,
            reason=f"difference {format_estimate(interval)}, {self.n} paired seeds",
            p=p,
            p_against=p,
            may_reproduce=not hidden and (above if self.direction == "greater" else below),
            may_contradict=not hidden and (below if self.direction == "greater" else above),
            interval=interval,
            extra_estimate=block.interval_over_all_seeds(everything, 1 - self.alpha),
            minimum_detectable_effect=self.margin
            + detectable_difference(differences, floor, self.alpha, family),
            noise_floor=floor,
            unit=evidence.unit(self.metric),
            notes=(*note, *block.notes),
            invalid_reason=missing_aa_reason(self, evidence),
        )


def detectable_difference(
    differences: Floats, floor: float | None, alpha: float, family: int
) -> float:
    """Least difference beyond the margin that the whole rule finds with 80 % power.

    It must satisfy interval and test, and its estimate must leave the noise floor behind.
    """
    n, sd = len(differences), float(differences.std(ddof=1))
    found = verdict_detectable_effect(sd, n, alpha, family_size=family)
    return (
        found if floor is None else max(found, floor / MAX_NOISE_SHARE + Z_80 * sd / math.sqrt(n))
    )
