"""`kind: failure_rate`: how many trials fail, of one arm against a share or of two arms."""

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
    """The share of trials of `arm` that fail is `at_least`, `at_most`, or beside `control`'s.

    A trial fails if it diverged, or if `metric` ends above `above` (below `below`). One arm: the
    two-sided Clopper-Pearson interval lies on the stated side of the share. Two arms: the
    conditional exact test on the seeds where one failed and the other did not (McNemar), as the
    seeds are paired.
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
        given = [n for n in ("at_least", "at_most", "control") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"{self.error_prefix}: give one of at_least, at_most, control, got "
                f"{', '.join(given) or 'none'}."
            )
        if (self.control is None) != (self.direction is None):
            raise ValueError(f"{self.error_prefix}: control and direction come together.")
        if self.direction is not None:
            check_one_of(f"{self.error_prefix}: direction", self.direction, DIRECTIONS)
        elif not is_yaml_number(self.share) or not 0 < self.share < 1:
            raise ValueError(
                f"{self.error_prefix}: {given[0]}={self.share!r} must lie between 0 and 1."
            )
        limits = [limit for limit in (self.above, self.below) if limit is not None]
        if len(limits) != (self.metric != "") or not all(map(is_yaml_number, limits)):
            raise ValueError(
                f"{self.error_prefix}: metric and a number, `above` or `below`, come together."
            )

    @property
    def share(self) -> float:
        """The stated share of one arm."""
        return self.at_least if self.at_least is not None else self.at_most or 0.0

    @property
    def compared_arms(self) -> tuple[str, ...]:
        """The control, if there is one, then the arm."""
        return (self.control, self.arm) if self.control else (self.arm,)

    @property
    def estimate_label(self) -> str:
        """What is estimated, in words."""
        how = "diverged"
        for word, limit in (("above", self.above), ("below", self.below)):
            how += "" if limit is None else f" or ended {word} {limit:g}"
        return f"share of trials of {self.arm} that {how}"

    @property
    def expected(self) -> str:
        """What the estimate must be, in words."""
        if self.control:
            return f"{self.direction} than that of {self.control}"
        return f"at {'least' if self.at_least is not None else 'most'} {self.share:g}"

    @property
    def interval_label(self) -> str:
        """What the ends of the interval are."""
        return f"{100 * (1 - self.alpha):.3g} % Clopper-Pearson interval"

    @property
    def least_p(self) -> float:
        """Every trial fails, or none; of two arms, at every seed just one."""
        if self.control:
            return least_sign_flip_p(self.n)
        return 2 * float((self.share if self.at_least is not None else 1 - self.share) ** self.n)

    def scores(self, evidence: Evidence, arms: Sequence[str]) -> SeedValues:
        """1 for a trial that failed, 0 for one that did not."""
        seeds = evidence.common_seeds(arms)
        rows = [[self.outcome(evidence, arm, seed) for arm in arms] for seed in seeds]
        values = np.array(rows, dtype=float).reshape(len(seeds), len(arms))
        lacking = [
            f"{arm} seed {seed} ({evidence.states[arm][seed]})"
            for j, arm in enumerate(arms)
            for i, seed in enumerate(seeds[: self.n])
            if np.isnan(values[i, j])
        ]
        if lacking:
            raise InvalidClaimError(f"trials without an outcome: {', '.join(lacking)}")
        evidence.check_enough_seeds(seeds, self.n)
        return SeedValues(values, tuple(seeds), self.n)

    def outcome(self, evidence: Evidence, arm: str, seed: int) -> float:
        """Whether one trial failed; NaN where that is not known."""
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
        """Shares and test; `runner.claims.claim.Claim.measure` says more."""
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
            with_it, against = (up, down) if self.at_least is not None else (down, up)
            return Measurement(
                n=self.n,
                reason=reason,
                p=min(1.0, 2 * with_it),
                p_against=min(1.0, 2 * against),
                interval=interval,
                extra_estimate=extra,
            )
        other = block.deciding_values[:, 1]
        others = {self.control: self.interval(other)}
        p = sign_flip_p(failed - other)
        more, fewer = failed.sum() > other.sum(), failed.sum() < other.sum()
        return Measurement(
            n=self.n,
            reason=f"{reason}, {self.control} in {format_failure_share(other, others[self.control])}",
            p=p,
            p_against=p,
            may_reproduce=bool(more if self.direction == "greater" else fewer),
            may_contradict=bool(fewer if self.direction == "greater" else more),
            interval=interval,
            others=others,
            extra_estimate=extra,
        )

    def interval(self, failed: np.ndarray) -> Interval:
        """Clopper-Pearson for the share."""
        return clopper_pearson(int(failed.sum()), len(failed), 1 - self.alpha)


def format_failure_share(failed: np.ndarray, interval: Interval) -> str:
    """A count with the limits of its share."""
    return f"{int(failed.sum())} of {len(failed)} [{interval.low:.2g}, {interval.high:.2g}]"
