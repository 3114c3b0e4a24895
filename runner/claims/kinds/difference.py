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
    """A claim that `arm` is greater or less than `times` x `control`, by more than `margin`.

    `other`, a metric, may replace `control`. Then `metric` of the arm is greater or less than
    `times` x `other` of the same arm. An A/A pair must agree on the difference of both metrics.

    Reproduced if both hold:
    - the paired 1 - alpha interval lies beyond the margin on the stated side;
    - the exact sign-flip test, two-sided and Holm-corrected, is below alpha.

    Contradicted is the same on the other side. A difference of times or memory is inconclusive if
    its distance from the margin is below twice the noise floor.
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
                f"{self.error_prefix}: give either control (an arm) or other (a metric of the arm)."
            )
        if self.other == self.metric:
            raise ValueError(
                f"{self.error_prefix}: {self.metric!r} cannot be compared with itself."
            )
        if not is_yaml_number(self.times) or self.times <= 0:
            raise ValueError(f"{self.error_prefix}: times={self.times!r} must be a number above 0.")
        if not is_yaml_number(self.margin) or self.margin < 0:
            raise ValueError(
                f"{self.error_prefix}: margin={self.margin!r} must be a number, at least 0."
            )

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
    def edge(self) -> float:
        """The edge of the margin: the estimate must be beyond it."""
        return self.margin if self.direction == "greater" else 0.0 - self.margin

    @property
    def expected(self) -> str:
        """The condition on the estimate, in words."""
        return f"{'above' if self.direction == 'greater' else 'below'} {self.edge:g}"

    @property
    def least_p(self) -> float:
        """The p-value if all differences have one sign."""
        return least_sign_flip_p(self.n)

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

    def measure(self, evidence: Evidence, family: int) -> Measurement:
        """Measure the paired differences; see `runner.claims.claim.Claim.measure`."""
        block = self.sides(evidence, self.arm)
        everything = block.differences(self.times)
        differences = everything[: self.n]
        interval = mean_interval(differences, 1 - self.alpha)
        p = sign_flip_p(differences - self.edge)
        above, below = interval.low > self.edge, interval.high < self.edge
        # With `other`, each arm's score contains the factor already.
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
    """Return the least difference beyond the margin that the rule finds with 80 % power.

    It must satisfy interval and test, and its estimate must exceed the noise floor.
    """
    n, sd = len(differences), float(differences.std(ddof=1))
    effect = verdict_detectable_effect(sd, n, alpha, family_size=family)
    return (
        effect if floor is None else max(effect, floor / MAX_NOISE_SHARE + Z_80 * sd / math.sqrt(n))
    )
