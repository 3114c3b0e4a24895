"""`kind: failure_rate`: the share of trials that fail, of one arm or compared between two arms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from runner.claims.claim import DIRECTIONS, StatisticalClaim
from runner.claims.claim_keys import check_one_of, is_yaml_number
from runner.claims.evidence import Evidence, InvalidClaimError, SeedValues
from runner.claims.measurement import Measurement
from runner.stats.intervals import Interval, binomial_p, clopper_pearson
from runner.stats.sign_flip import least_sign_flip_p, sign_flip_p


@dataclass(frozen=True, kw_only=True)
class FailureRate(StatisticalClaim):
    """A claim about the share of trials of `arm` that fail.

    A trial fails if it diverged, or if `metric` ends above `above` (or below `below`).

    - One arm, `at_least` or `at_most`: the two-sided Clopper-Pearson interval must lie on the
      stated side of the share.
    - Two arms, `control` and `direction`: McNemar's exact test for paired seeds. It uses the seeds
      where only one of the two arms failed.
    """

    kind: ClassVar[str] = "failure_rate"
    shows_sign: ClassVar[bool] = False
    test_name: ClassVar[str] = "exact"
    has_binary_scores: ClassVar[bool] = True

    arm: str
    metric: str = ""
    above: float | None = None
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    control: str | None = None
    direction: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        goals = [n for n in ("at_least", "at_most", "control") if getattr(self, n) is not None]
        if len(goals) != 1:
            raise ValueError(
                f"{self.error_prefix}: give one of at_least, at_most, control, got "
                f"{', '.join(goals) or 'none'}."
            )
        if (self.control is None) != (self.direction is None):
            raise ValueError(f"{self.error_prefix}: control and direction must be given together.")
        if self.direction is not None:
            check_one_of(f"{self.error_prefix}: direction", self.direction, DIRECTIONS)
        elif not is_yaml_number(self.share) or not 0 < self.share < 1:
            raise ValueError(
                f"{self.error_prefix}: {goals[0]}={self.share!r} must lie between 0 and 1."
            )
        limits = [limit for limit in (self.above, self.below) if limit is not None]
        if len(limits) != (self.metric != "") or not all(map(is_yaml_number, limits)):
            raise ValueError(
                f"{self.error_prefix}: metric and one limit, above or below (a number), must be "
                "given together."
            )

    @property
    def share(self) -> float:
        """The share that the claim states, for one arm."""
        return self.at_least if self.at_least is not None else self.at_most or 0.0

    @property
    def compared_arms(self) -> tuple[str, ...]:
        """The control, if there is one, then the arm."""
        return (self.control, self.arm) if self.control else (self.arm,)

    @property
    def estimate_label(self) -> str:
        """The estimated quantity, in words."""
        condition = "diverged"
        for word, limit in (("above", self.above), ("below", self.below)):
            condition += "" if limit is None else f" or ended {word} {limit:g}"
        return f"share of trials of {self.arm} that {condition}"

    @property
    def expected(self) -> str:
        """The condition on the estimate, in words."""
        if self.control:
            return f"{self.direction} than that of {self.control}"
        return f"at {'least' if self.at_least is not None else 'most'} {self.share:g}"

    @property
    def interval_label(self) -> str:
        """The name of the interval, in words."""
        return f"{100 * (1 - self.alpha):.3g} % Clopper-Pearson interval"

    @property
    def least_p(self) -> float:
        """The p-value if every trial fails, or none; for two arms, if only one fails per seed."""
        if self.control:
            return least_sign_flip_p(self.n)
        return 2 * float((self.share if self.at_least is not None else 1 - self.share) ** self.n)

    def scores(self, evidence: Evidence, arms: Sequence[str]) -> SeedValues:
        """Return 1 for each trial that failed and 0 for each other trial."""
        seeds = evidence.common_seeds(arms)
        rows = [[self.outcome(evidence, arm, seed) for arm in arms] for seed in seeds]
        values = np.array(rows, dtype=float).reshape(len(seeds), len(arms))
        unknown = [
            f"{arm} seed {seed} ({evidence.states[arm][seed]})"
            for j, arm in enumerate(arms)
            for i, seed in enumerate(seeds[: self.n])
            if np.isnan(values[i, j])
        ]
        if unknown:
            raise InvalidClaimError(f"trials without an outcome: {', '.join(unknown)}")
        evidence.check_enough_seeds(seeds, self.n)
        return SeedValues(values, tuple(seeds), self.n)

    def outcome(self, evidence: Evidence, arm: str, seed: int) -> float:
        """Return 1 if a trial failed, 0 if it did not, and NaN if that is unknown."""
        state = evidence.states[arm][seed]
        if state == "diverged":
            return 1.0
        if state not in ("done", "no status"):
            return np.nan
        if not self.metric:
            return 0.0
        value = evidence.value(arm, self.metric, seed)
        if np.isnan(value):
            return np.nan
        return float(value > self.above if self.above is not None else value < (self.below or 0.0))

    def measure(self, evidence: Evidence, family: int) -> Measurement:  # noqa: ARG002
        """Measure the share of failures; see `runner.claims.claim.Claim.measure`."""
        block = self.scores(evidence, [self.arm, *([self.control] if self.control else [])])
        failed = block.deciding_values[:, 0]
        interval = self.interval(failed)
        reason = f"{self.arm} fails in {format_failure_share(failed, interval)}"
        extra = None
        if len(block.values) > self.n and np.isfinite(block.values[:, 0]).all():
            extra = self.interval(block.values[:, 0])
        if not self.control:
            k = int(failed.sum())
            up, down = (binomial_p(k, self.n, self.share, way) for way in ("greater", "less"))
            p, p_against = (up, down) if self.at_least is not None else (down, up)
            return Measurement(
                n=self.n,
                reason=reason,
                p=min(1.0, 2 * p),
                p_against=min(1.0, 2 * p_against),
                interval=interval,
                extra_estimate=extra,
            )
        other = block.deciding_values[:, 1]
        others = {self.control: self.interval(other)}
        p = sign_flip_p(failed - other)
        more, fewer = failed.sum() > other.sum(), failed.sum() < other.sum()
        return Measurement(
            n=self.n,
            reason=f"{reason}, {self.control} in "
            f"{format_failure_share(other, others[self.control])}",
            p=p,
            p_against=p,
            may_reproduce=bool(more if self.direction == "greater" else fewer),
            may_contradict=bool(fewer if self.direction == "greater" else more),
            interval=interval,
            others=others,
            extra_estimate=extra,
        )

    def interval(self, failed: np.ndarray) -> Interval:
        """Return the Clopper-Pearson interval of the share."""
        return clopper_pearson(int(failed.sum()), len(failed), 1 - self.alpha)


def format_failure_share(failed: np.ndarray, interval: Interval) -> str:
    """Return a count with the limits of its share: "3 of 8 [0.085, 0.76]"."""
    return f"{int(failed.sum())} of {len(failed)} [{interval.low:.2g}, {interval.high:.2g}]"
