"""`kind: equivalence`: an arm equals its control within a margin (TOST, Schuirmann 1987)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from runner.claims.claim import StatisticalClaim
from runner.claims.claim_keys import is_yaml_number
from runner.claims.evidence import Evidence, InvalidClaimError, SeedValues
from runner.claims.measurement import Measurement, format_estimate
from runner.claims.noise import (
    MAX_NOISE_SHARE,
    check_noise,
    format_timing_passes,
    missing_aa_reason,
    noise_floor,
)
from runner.stats.intervals import (
    Floats,
    inside_p,
    mean_interval,
    outside_p,
    sd_limit,
    split_level_p,
)

MARGINS = ("delta", "delta_share", "delta_aa")


@dataclass(frozen=True, kw_only=True)
class Equivalence(StatisticalClaim):
    """A claim that the mean difference of `arm` and `control` on `metric` lies within +-delta.

    The margin is one of:
    delta        a number in the metric's unit
    delta_share  a share of the control's mean over the deciding seeds
    delta_aa     a number of standard deviations (ddof 1) of the A/A pair's differences

    Reproduced is TOST at alpha: the 1 - 2 alpha interval lies inside the margin. A difference that
    is only not significant is inconclusive. Contradicted: the 1 - alpha interval lies outside.

    With `delta_aa` the margin is itself an estimate, which takes half of alpha. `reproduced` uses
    the lower 1 - alpha / 2 confidence limit of the A/A pair's deviation (chi-squared), and TOST at
    alpha / 2. `contradicted` uses the upper limit. So the level holds for the true deviation.

    A difference of times or memory is inconclusive if it is closer to the margin than twice the
    noise floor.
    """

    kind: ClassVar[str] = "equivalence"
    test_name: ClassVar[str] = "TOST"
    sensitivity: ClassVar[str] = "smallest margin that would have been shown"

    arm: str
    control: str
    delta: float | None = None
    delta_share: float | None = None
    delta_aa: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        margins = {name: getattr(self, name) for name in MARGINS if getattr(self, name) is not None}
        if len(margins) != 1:
            raise ValueError(
                f"{self.error_prefix}: give one of {', '.join(MARGINS)}, got "
                f"{', '.join(margins) or 'none'}."
            )
        for name, value in margins.items():
            if not is_yaml_number(value) or value <= 0:
                raise ValueError(f"{self.error_prefix}: {name}={value!r} must be a number above 0.")
        if self.delta_aa is not None and self.aa is None:
            raise ValueError(f"{self.error_prefix}: delta_aa needs an A/A pair (aa).")
        if self.alpha >= 0.5:
            raise ValueError(f"{self.error_prefix}: alpha={self.alpha} must be below 0.5.")

    @property
    def compared_arms(self) -> tuple[str, ...]:
        """The control, then the arm."""
        return self.control, self.arm

    @property
    def estimate_label(self) -> str:
        """The estimated quantity, in words."""
        return f"{self.arm} minus {self.control}"

    @property
    def expected(self) -> str:
        """The condition on the estimate, in words."""
        if self.delta is not None:
            return f"within ±{self.delta:g}"
        if self.delta_share is not None:
            return f"within ±{100 * self.delta_share:g} % of {self.control}"
        return f"within ±{self.delta_aa:g} SD of the A/A pair"

    @property
    def interval_label(self) -> str:
        """The name of the interval, in words."""
        return f"{100 * (1 - 2 * self.alpha):.3g} % interval"

    def measure(self, evidence: Evidence, family: int) -> Measurement:
        """Measure the paired differences; see `runner.claims.claim.Claim.measure`."""
        block = self.scores(evidence, [self.arm, self.control])
        everything = block.differences()
        differences = everything[: self.n]
        delta = self.margin(evidence, block)
        interval = mean_interval(differences, 1 - 2 * self.alpha)
        strict = mean_interval(differences, 1 - 2 * self.alpha / family)
        shrunk = 1.0
        if self.delta_aa is not None:
            share = self.alpha / family / 2
            strict = mean_interval(differences, 1 - 2 * share)
            shrunk = sd_limit(share, self.n, upper=False)
        floor = noise_floor(self, evidence)
        hidden, note = check_noise(
            interval, floor, -delta, delta, passes_text=format_timing_passes(self, evidence)
        )
        return Measurement(
            n=self.n,
            reason=f"difference {format_estimate(interval)}, margin ±{delta:.3g}, {self.n} paired "
            "seeds",
            p=self.p_inside(differences, delta),
            p_against=self.p_outside(differences, delta),
            may_reproduce=not hidden,
            may_contradict=not hidden,
            interval=interval,
            extra_estimate=block.interval_over_all_seeds(everything, 1 - 2 * self.alpha),
            minimum_detectable_effect=max(abs(strict.low), abs(strict.high)) / shrunk
            + (floor or 0.0) / MAX_NOISE_SHARE,
            noise_floor=floor,
            unit=evidence.unit(self.metric),
            notes=(*note, *block.notes),
            invalid_reason=missing_aa_reason(self, evidence),
        )

    def p_inside(self, differences: Floats, delta: float) -> float:
        """Return the p-value of the test for a difference within the margin (TOST)."""
        if self.delta_aa is None:
            return inside_p(differences, -delta, delta)

        def at(share: float) -> float:
            low = delta * sd_limit(share, len(differences), upper=False)
            return inside_p(differences, -low, low)

        return split_level_p(at)

    def p_outside(self, differences: Floats, delta: float) -> float:
        """Return the p-value of the two-sided test for a difference outside the margin."""
        if self.delta_aa is None:
            return min(1.0, 2 * outside_p(differences, -delta, delta))

        def at(share: float) -> float:
            high = delta * sd_limit(share, len(differences), upper=True)
            return 2 * outside_p(differences, -high, high)

        return split_level_p(at)

    def margin(self, evidence: Evidence, block: SeedValues) -> float:
        """Return delta in the metric's unit.

        Raises:
            InvalidClaimError: it is not above 0.
        """
        if self.delta is not None:
            return float(self.delta)
        if self.delta_share is not None:
            size = float(self.delta_share * abs(block.deciding_values[:, 1].mean()))
        else:
            assert self.aa is not None
            assert self.delta_aa is not None
            same = self.scores(evidence, [self.aa.arm, self.aa.control])
            size = float(self.delta_aa * np.std(same.differences()[: self.n], ddof=1))
        if not size > 0:
            raise InvalidClaimError(
                f"the margin ({self.expected}) is {size:g}, and must be above 0"
            )
        return size
