"""`kind: at_equal_seconds`: two arms after the same time of training, seed by seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from runner.claims.claim_keys import is_yaml_number
from runner.claims.directed_difference import DirectedDifference, SeedDifferences
from runner.claims.evidence import Evidence, InvalidClaimError, SeedValues
from runner.claims.noise import NoiseWords
from runner.claims.timed_curves import (
    TimedValue,
    describe_steps,
    read_at_equal_seconds,
    step_seconds,
)
from runner.metric_names import STEP_ALONE
from runner.stats.intervals import abs_mean_bound

NOISE_WORDS = NoiseWords(
    "the step times of the A/A pair move the estimate by up to",
    "the step times of the A/A pair move the estimate by at most",
)


@dataclass(frozen=True, kw_only=True)
class AtEqualSeconds(DirectedDifference):
    """A claim that, after the same seconds of training, an arm is greater or less than its control.

    - A trial's seconds are its training steps times its `time/step_alone`: the median time of a
      step while no other trial uses the machine. The duration of the training itself has no effect.
    - The compared time of a seed is the shorter of the two trainings, or `seconds`. So the faster
      arm is read before its end, and no curve is continued beyond its last point.
    - Each value lies on the straight line between the logged points around it.
    - A diverged trial counts with the diverged value of the metric at every time.

    The claim needs an A/A pair. Its step times give the timing error: the upper 95 % limit of their
    mean log ratio. The noise floor is the change of the estimate if the arm's step times are
    greater or less by that error.
    """

    kind: ClassVar[str] = "at_equal_seconds"
    needs_aa_pair: ClassVar[bool] = True
    noise_meaning: ClassVar[str] = "effect of the timing error on the estimate"

    arm: str
    control: str
    seconds: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seconds is not None and not (is_yaml_number(self.seconds) and self.seconds > 0):
            raise ValueError(
                f"{self.error_prefix}: seconds={self.seconds!r} must be a number above 0."
            )
        if "{" in self.metric:
            raise ValueError(
                f"{self.error_prefix}: metric={self.metric!r} must be one curve, not a template."
            )

    @property
    def compared_arms(self) -> tuple[str, ...]:
        """The control, then the arm."""
        return self.control, self.arm

    @property
    def metrics(self) -> tuple[str, ...]:
        """The step time; the final value of the curve does not decide the claim."""
        return (STEP_ALONE,)

    @property
    def named_metrics(self) -> tuple[str, ...]:
        """The claim's metric, that of the positive control, and the step time."""
        return (*super().named_metrics, STEP_ALONE)

    @property
    def curve_metrics(self) -> tuple[str, ...]:
        """The metric, whose curve the claim reads."""
        return (self.metric,)

    @property
    def estimate_label(self) -> str:
        """The estimated quantity, in words."""
        time = "equal seconds" if self.seconds is None else f"{self.seconds:g} s"
        return f"{self.arm} minus {self.control} at {time} of training"

    def scores(self, evidence: Evidence, arms: Sequence[str]) -> SeedValues:
        """Return the values of these arms after the same time of training, by seed."""
        return self.compare(evidence, arms)[0]

    def compare(
        self, evidence: Evidence, arms: Sequence[str], factors: Mapping[str, float] | None = None
    ) -> tuple[SeedValues, list[dict[str, TimedValue]]]:
        """Return the values of arms after the same time, and the details of the deciding seeds.

        `factors` multiply the step times of arms.

        Raises:
            InvalidClaimError: a deciding trial has no curve, step time or value.
        """
        evidence.check_units([(arm, self.metric) for arm in arms])
        details: dict[int, dict[str, TimedValue]] = {}

        def value(arm: str, seed: int) -> float:
            if seed not in details:
                details[seed] = read_at_equal_seconds(
                    evidence, self.metric, arms, seed, seconds=self.seconds, factors=factors
                )
            return details[seed][arm].value

        block = evidence.score_seeds(arms, self.n, value)
        deciding = block.seeds[: self.n]
        clipped = evidence.clipped & {(arm, seed, self.metric) for arm in arms for seed in deciding}
        block = SeedValues(block.values, block.seeds, self.n, len(clipped))
        return block, [details[seed] for seed in deciding]

    def seed_differences(self, evidence: Evidence) -> SeedDifferences:
        """Return each seed's difference after the same time of training."""
        arms = (self.arm, self.control)
        block, details = self.compare(evidence, arms)
        differences = block.differences()
        notes, floor = [describe_steps(arms, details)], None
        if (error := self.timing_error(evidence)) is not None:
            means = [
                self.compare(evidence, arms, {self.arm: factor})[0].differences()[: self.n].mean()
                for factor in (math.exp(-error), math.exp(error))
            ]
            floor = max(abs(float(mean - differences[: self.n].mean())) for mean in means)
            notes.append(f"step times of the A/A pair are equal within {math.expm1(error):.1%}")
        return SeedDifferences(
            differences, block, floor, evidence.unit(self.metric), tuple(notes), NOISE_WORDS
        )

    def timing_error(self, evidence: Evidence) -> float | None:
        """Return the upper 95 % limit of the mean log ratio of the A/A pair's step times.

        None without an A/A pair; then the claim is invalid.

        Raises:
            InvalidClaimError: fewer than two deciding seeds have both step times.
        """
        if self.aa is None:
            return None
        pair = (self.aa.arm, self.aa.control)
        trained = [
            seed
            for seed in evidence.common_seeds(pair)[: self.n]
            if all(evidence.states[arm][seed] != "diverged" for arm in pair)
        ]
        times = [[step_seconds(evidence, arm, seed) for arm in pair] for seed in trained]
        if len(times) < 2:
            raise InvalidClaimError("the A/A pair has fewer than two seeds with step times")
        return abs_mean_bound([math.log(one / other) for one, other in times])
