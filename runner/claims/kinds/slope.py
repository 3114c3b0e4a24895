"""`kind: slope`: the slope of a metric over a number in its name, e.g. a depth or a length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from runner.claims.claim import AAPair, PositiveControl, StatisticalClaim
from runner.claims.claim_keys import check_one_of, read_band
from runner.claims.evidence import Evidence, InvalidClaimError, SeedValues
from runner.claims.measurement import Measurement, format_estimate
from runner.claims.noise import check_noise, format_timing_passes, missing_aa_reason, noise_floor
from runner.metric_names import placeholders
from runner.stats.intervals import Interval, fit_slopes, inside_p, mean_interval, outside_p

LOG_AXES = ("none", "x", "y", "both")
LEAST_LEVELS = 3  # two points do not show a bend


@dataclass(frozen=True)
class SlopeControl:
    """Another arm whose slope must lie in its own band: the run can show the other answer."""

    arm: str
    band: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Slope(StatisticalClaim):
    """A claim that the slope of `metric` over its placeholder `x` lies in `band`.

    Each seed gives one slope. With `log: both` it is the exponent of a power law.

    - Reproduced: the 1 - alpha interval of the seeds' slopes lies inside the band.
    - Contradicted: the interval lies outside.
    - Inconclusive: all other cases, and a slope of times or memory that is closer to an end of the
      band than twice the noise floor.
    """

    kind: ClassVar[str] = "slope"
    test_name: ClassVar[str] = "band"
    sensitivity: ClassVar[str] = "half-width: no narrower band could have been shown"
    nested_types: ClassVar[Mapping[str, type]] = {
        "aa": AAPair,
        "positive_control": PositiveControl,
        "control": SlopeControl,
    }

    arm: str
    x: str
    band: tuple[float, float]
    log: str = "both"
    control: SlopeControl | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one_of(f"{self.error_prefix}: log", self.log, LOG_AXES)
        if placeholders(self.metric) != [self.x]:
            raise ValueError(
                f"{self.error_prefix}: metric={self.metric!r} must have exactly one placeholder, "
                f"x={self.x!r}, e.g. norm/grad_last/depth{{{self.x}}}."
            )
        object.__setattr__(self, "band", read_band(self.error_prefix, self.band))
        if self.control:
            self.check_distinct(self.arm, self.control.arm)
            band = read_band(f"{self.error_prefix}, control", self.control.band)
            object.__setattr__(self, "control", SlopeControl(self.control.arm, band))

    @property
    def compared_arms(self) -> tuple[str, ...]:
        """The arm, without a control."""
        return (self.arm,)

    @property
    def estimate_label(self) -> str:
        """The estimated quantity, in words."""
        kind = {"none": "slope", "both": "log-log slope"}.get(self.log, f"slope, log {self.log},")
        return f"{kind} over {self.x}, {self.arm}"

    @property
    def expected(self) -> str:
        """The condition on the estimate, in words."""
        return f"in [{self.band[0]:g}, {self.band[1]:g}]"

    def scores(self, evidence: Evidence, arms: Sequence[str]) -> SeedValues:
        """Return the slope of each seed and arm."""
        columns = {arm: self.levels(evidence, arm) for arm in arms}
        pairs = [(arm, metric) for arm, levels in columns.items() for _, metric in levels]
        block = evidence.seed_values(pairs, self.n)
        slopes, start = [], 0
        for levels in columns.values():
            y = block.values[:, start : start + len(levels)]
            start += len(levels)
            x = np.array([level for level, _ in levels])
            slopes.append(fit_slopes(self.scale("x", x), self.scale("y", y, self.n)))
        return SeedValues(np.stack(slopes, axis=1), block.seeds, self.n, block.n_clipped)

    def levels(self, evidence: Evidence, arm: str) -> list[tuple[float, str]]:
        """Return (number, metric) for each metric that matches the template, in ascending order.

        Raises:
            InvalidClaimError: a placeholder is not a number, or there are too few levels.
        """
        levels = []
        for metric, values in evidence.find_metrics(arm, self.metric).items():
            try:
                levels.append((float(values[self.x]), metric))
            except ValueError:
                raise InvalidClaimError(f"{metric!r}: {self.x} is not a number") from None
        if len(levels) < LEAST_LEVELS:
            known = ", ".join(f"{level:g}" for level, _ in sorted(levels))
            raise InvalidClaimError(
                f"arm {arm!r} has only {self.x} {known}; a slope needs {LEAST_LEVELS} levels"
            )
        return sorted(levels)

    def scale(self, axis: str, values: np.ndarray, n: int | None = None) -> np.ndarray:
        """Return values or, if the axis is logarithmic, their logarithms.

        Values after the first `n` seeds may be missing.

        Raises:
            InvalidClaimError: the logarithm of a value that decides does not exist.
        """
        if self.log not in (axis, "both"):
            return values
        if not (values[:n] > 0).all():
            raise InvalidClaimError(
                f"a logarithm of {self.metric if axis == 'y' else self.x} needs values above 0, "
                f"got {float(values[:n].min()):g}"
            )
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.log(values))

    def measure(self, evidence: Evidence, family: int) -> Measurement:  # noqa: ARG002
        """Measure the slopes of the seeds; see `runner.claims.claim.Claim.measure`."""
        block = self.scores(evidence, [self.arm])
        slopes = block.deciding_values[:, 0]
        interval = mean_interval(slopes, 1 - self.alpha)
        others, control_fault = self.measure_control(evidence)
        floor = noise_floor(self, evidence)
        hidden, note = check_noise(
            interval, floor, *self.band, passes_text=format_timing_passes(self, evidence)
        )
        return Measurement(
            n=self.n,
            reason=f"slope {format_estimate(interval)}, expected {self.expected}, {self.n} seeds",
            p=min(1.0, 2 * inside_p(slopes, *self.band)),
            p_against=min(1.0, 2 * outside_p(slopes, *self.band)),
            may_reproduce=not hidden,
            may_contradict=not hidden,
            interval=interval,
            others=others,
            extra_estimate=block.interval_over_all_seeds(block.values[:, 0], 1 - self.alpha),
            minimum_detectable_effect=(interval.high - interval.low) / 2,
            unit="" if self.log in ("both", "y") else evidence.unit(self.metric),
            noise_floor=floor,
            notes=(*note, *block.notes),
            invalid_reason=control_fault or missing_aa_reason(self, evidence),
        )

    def measure_control(self, evidence: Evidence) -> tuple[dict[str, Interval], str]:
        """Return the control's slope by name, and its fault; "" if the slope is in its band."""
        if self.control is None:
            return {}, ""
        arm, (low, high) = self.control.arm, self.control.band
        interval = mean_interval(self.scores(evidence, [arm]).deciding_values[:, 0], 1 - self.alpha)
        is_inside = low < interval.low and interval.high < high
        fault = (
            f"control: slope of {arm} is {format_estimate(interval)}, not in [{low:g}, {high:g}]"
        )
        return {f"control {arm}": interval}, "" if is_inside else fault
