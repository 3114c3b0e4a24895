"""`kind: curve_slope`: the slope of a logged metric over the steps of training, seed by seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from runner.claims.claim_keys import check_one_of, is_yaml_number
from runner.claims.curves import window_slope
from runner.claims.directed_difference import DirectedDifference, SeedDifferences
from runner.claims.evidence import Evidence, InvalidClaimError, SeedValues
from runner.claims.noise import noise_floor

AXES = ("step", "log_step")
LEAST_POINTS = 3  # two points do not show a bend


@dataclass(frozen=True, kw_only=True)
class CurveSlope(DirectedDifference):
    """A claim that the curve of `metric` rises or falls during training, by more than `margin`.

    Each seed gives one least-squares slope, through the logged points of its curve between two
    shares of the training. Without `control` it is the arm's slope, otherwise arm minus control.

    x           `step`, or `log_step`, the natural logarithm of the step. A slope over the logarithm
                of the tokens is the same number, since every step has equally many tokens.
    start, end  shares of the training: 0.2 leaves out the first fifth. Step 0 has no logarithm.

    A claim is invalid if a deciding trial diverged, or has fewer than three points there.
    """

    kind: ClassVar[str] = "curve_slope"
    estimate_noun: ClassVar[str] = "slope"

    arm: str
    control: str | None = None
    x: Literal["step", "log_step"] = "log_step"
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_of(f"{self.error_prefix}: x", self.x, AXES)
        shares = (self.start, self.end)
        if not all(map(is_yaml_number, shares)) or not 0 <= self.start < self.end <= 1:
            raise ValueError(
                f"{self.error_prefix}: start={self.start!r} and end={self.end!r} must be shares of "
                "the training, 0 <= start < end <= 1."
            )
        if "{" in self.metric:
            raise ValueError(
                f"{self.error_prefix}: metric={self.metric!r} must be one curve, not a template."
            )

    @property
    def compared_arms(self) -> tuple[str, ...]:
        """The control, if there is one, then the arm."""
        return (self.control, self.arm) if self.control else (self.arm,)

    @property
    def metrics(self) -> tuple[str, ...]:
        """No metric: the final value of a curve does not decide its slope."""
        return ()

    @property
    def curve_metrics(self) -> tuple[str, ...]:
        """The metric, whose curve the claim reads."""
        return (self.metric,)

    @property
    def estimate_label(self) -> str:
        """The estimated quantity, in words."""
        window = f"from {100 * self.start:g} % to {100 * self.end:g} % of the training"
        axis = "log step" if self.x == "log_step" else "step"
        minus = f" minus {self.control}" if self.control else ""
        return f"slope over {axis}, {window}, {self.arm}{minus}"

    def scores(self, evidence: Evidence, arms: Sequence[str]) -> SeedValues:
        """Return the slope of each seed and arm."""
        evidence.check_units([(arm, self.metric) for arm in arms])
        return evidence.score_seeds(arms, self.n, lambda arm, seed: self.slope(evidence, arm, seed))

    def slope(self, evidence: Evidence, arm: str, seed: int) -> float:
        """Return the slope of one trial's curve.

        Raises:
            InvalidClaimError: the trial has no whole curve, or too few points.
        """
        curve = evidence.finished_curve(arm, self.metric, seed)
        steps, values = curve.between(self.start, self.end)
        if self.x == "log_step":
            steps, values = steps[steps > 0], values[steps > 0]
        trial = f"{arm} seed {seed}"
        if len(steps) < LEAST_POINTS:
            raise InvalidClaimError(
                f"{trial} has {len(steps)} points of {self.metric} from {self.start:g} to "
                f"{self.end:g} of its training; a slope needs {LEAST_POINTS}"
            )
        if not np.isfinite(values).all():
            raise InvalidClaimError(f"{trial}: {self.metric} is not finite at each point")
        return window_slope(steps, values, logarithmic=self.x == "log_step")

    def seed_differences(self, evidence: Evidence) -> SeedDifferences:
        """Return each seed's slope, or its difference from that of the control."""
        block = self.scores(evidence, [self.arm, *([self.control] if self.control else [])])
        slopes = block.differences() if self.control else block.values[:, 0]
        unit = evidence.unit(self.metric)
        if self.x == "step":
            unit = f"{unit} per step".strip()
        return SeedDifferences(slopes, block, noise_floor(self, evidence), unit)
