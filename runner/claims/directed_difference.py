"""The kinds of claims whose estimate is one number a seed, on the stated side of a margin.

This module holds the part that they share. The numbers are differences of final values, slopes of
curves, or differences of differences.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from runner.claims.claim import DIRECTIONS, StatisticalClaim
from runner.claims.claim_keys import check_one_of, is_yaml_number
from runner.claims.evidence import Evidence, SeedValues
from runner.claims.measurement import Measurement, format_estimate
from runner.claims.noise import (
    A_A_DIFFERENCE,
    MAX_NOISE_SHARE,
    NoiseWords,
    check_noise,
    format_timing_passes,
    missing_aa_reason,
)
from runner.stats.intervals import Floats, mean_interval
from runner.stats.power import verdict_detectable_effect
from runner.stats.sign_flip import least_sign_flip_p, sign_flip_p

Z_80 = 0.8416  # the normal quantile of 0.8


@dataclass(frozen=True)
class SeedDifferences:
    """The number of each seed that a claim is about, the deciding seeds first.

    Attributes:
        numbers: a number for each seed; all deciding ones are finite.
        block: the values that they come from.
        floor: the noise floor of their mean; None if the machine has no effect on it.
        unit: their unit.
        notes: further facts that a reader of the verdict needs.
        noise_words: the beginnings of the note on the noise floor.
    """

    numbers: Floats
    block: SeedValues
    floor: float | None
    unit: str
    notes: tuple[str, ...] = ()
    noise_words: NoiseWords = A_A_DIFFERENCE


@dataclass(frozen=True, kw_only=True)
class DirectedDifference(StatisticalClaim):
    """A claim that the mean of one number a seed is greater or less, by more than `margin`.

    Reproduced if both hold:
    - the paired 1 - alpha interval lies beyond the margin on the stated side;
    - the exact sign-flip test, two-sided and Holm-corrected, is below alpha.

    Contradicted is the same on the other side. An estimate that depends on the machine is
    inconclusive if its distance from the margin is below twice the noise floor.
    """

    test_name: ClassVar[str] = "sign-flip"
    sensitivity: ClassVar[str] = "smallest, with 80 % power"
    estimate_noun: ClassVar[str] = "difference"

    direction: Literal["greater", "less"]
    margin: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_of(f"{self.error_prefix}: direction", self.direction, DIRECTIONS)
        if not is_yaml_number(self.margin) or self.margin < 0:
            raise ValueError(
                f"{self.error_prefix}: margin={self.margin!r} must be a number, at least 0."
            )

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

    @abstractmethod
    def seed_differences(self, evidence: Evidence) -> SeedDifferences:
        """Return the number of each seed that the claim is about.

        Raises:
            InvalidClaimError: the records lack an arm, a metric, seeds or values.
        """

    def measure(self, evidence: Evidence, family: int) -> Measurement:
        """Measure the mean of the numbers; see `runner.claims.claim.Claim.measure`."""
        measured = self.seed_differences(evidence)
        block, floor = measured.block, measured.floor
        differences = measured.numbers[: self.n]
        interval = mean_interval(differences, 1 - self.alpha)
        p = sign_flip_p(differences - self.edge)
        above, below = interval.low > self.edge, interval.high < self.edge
        hidden, note = check_noise(
            interval,
            floor,
            self.edge,
            passes_text=format_timing_passes(self, evidence),
            words=measured.noise_words,
        )
        return Measurement(
            n=self.n,
            reason=f"{self.estimate_noun} {format_estimate(interval)}, {self.n} paired seeds",
            p=p,
            p_against=p,
            may_reproduce=not hidden and (above if self.direction == "greater" else below),
            may_contradict=not hidden and (below if self.direction == "greater" else above),
            interval=interval,
            extra_estimate=block.interval_over_all_seeds(measured.numbers, 1 - self.alpha),
            minimum_detectable_effect=self.margin
            + detectable_difference(differences, floor, self.alpha, family),
            noise_floor=floor,
            unit=measured.unit,
            notes=(*note, *measured.notes, *block.notes),
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
