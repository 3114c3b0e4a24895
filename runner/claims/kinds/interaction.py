"""`kind: interaction`: the difference of two arms depends on a third setting, seed by seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from runner.claims.claim_keys import check_one_of
from runner.claims.directed_difference import DirectedDifference, SeedDifferences
from runner.claims.evidence import Evidence, InvalidClaimError, SeedValues
from runner.claims.noise import noise_floor

COMPARES = ("differences", "ratios")
TWO_PAIRS = 2.0
"""Bound of the noise of a difference of two differences, relative to one A/A difference."""


@dataclass(frozen=True, kw_only=True)
class Interaction(DirectedDifference):
    """A claim that (arm - control) - (other_arm - other_control) is greater or less than 0.

    For example, `arm` and `control` have little data, and `other_arm` and `other_control` have
    much. With `margin`, the difference of the two differences must be beyond it.

    compare  `differences` of the metric, or `ratios`: then the metric's natural logarithms are
             compared, so the estimate is log(arm / control) - log(other_arm / other_control)

    Each pair must be fair and of equal cost in itself. The settings of the two pairs may differ.
    """

    kind: ClassVar[str] = "interaction"
    estimate_noun: ClassVar[str] = "difference of differences"
    noise_meaning: ClassVar[str] = "twice the upper 95 % bound of the A/A difference"

    arm: str
    control: str
    other_arm: str
    other_control: str
    compare: Literal["differences", "ratios"] = "differences"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_of(f"{self.error_prefix}: compare", self.compare, COMPARES)

    @property
    def compared_arms(self) -> tuple[str, ...]:
        """The first pair, then the other one; of each pair the control is first."""
        return self.control, self.arm, self.other_control, self.other_arm

    @property
    def compared_pairs(self) -> tuple[tuple[str, str], ...]:
        """The two pairs (arm, control)."""
        return (self.arm, self.control), (self.other_arm, self.other_control)

    @property
    def context_pairs(self) -> tuple[tuple[str, str], ...]:
        """The arms of the two pairs, whose settings may differ."""
        return ((self.other_arm, self.arm),)

    @property
    def estimate_label(self) -> str:
        """The estimated quantity, in words."""
        if self.compare == "ratios":
            return (
                f"log({self.arm} / {self.control}) minus "
                f"log({self.other_arm} / {self.other_control})"
            )
        return (
            f"({self.arm} minus {self.control}) minus ({self.other_arm} minus {self.other_control})"
        )

    def scores(self, evidence: Evidence, arms: Sequence[str]) -> SeedValues:
        """Return the metric of each seed and arm, or its logarithm."""
        block = super().scores(evidence, arms)
        if self.compare == "differences":
            return block
        if not (block.deciding_values > 0).all():
            raise InvalidClaimError(
                f"ratios of {self.metric} need values above 0, got "
                f"{float(block.deciding_values.min()):g}"
            )
        with np.errstate(invalid="ignore", divide="ignore"):
            return SeedValues(np.log(block.values), block.seeds, self.n, block.n_clipped)

    def seed_differences(self, evidence: Evidence) -> SeedDifferences:
        """Return each seed's difference of two differences."""
        block = self.scores(evidence, [self.arm, self.control, self.other_arm, self.other_control])
        first, second = (block.values[:, i] - block.values[:, i + 1] for i in (0, 2))
        unit = "" if self.compare == "ratios" else evidence.unit(self.metric)
        return SeedDifferences(first - second, block, noise_floor(self, evidence, TWO_PAIRS), unit)
