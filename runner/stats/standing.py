"""The rule for "better": the standing of each arm against its baseline.

All comparisons of an answer are one family (`runner.stats.max_t`). So the chance of any false
finding in an answer is at most alpha. Look k at the same arms is judged at alpha / k. This bounds
the error of each look. Over several looks, until the first finding, the error is somewhat larger
(docs/trust.md, error rates).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import nan
from typing import NamedTuple

import numpy as np

from runner.stats.intervals import ROUNDING_TOLERANCE, Floats, Interval, half_width, mean_interval
from runner.stats.max_t import least_max_t_p, least_seeds, max_t_p, standing_detectable_effect
from runner.wording.names import format_count

ALPHA = 0.05


class Standing(StrEnum):
    """The standing of an arm against its baseline in one metric."""

    better = "better"
    worse = "worse"
    different = "different"
    not_distinguished = "no significant difference"
    undecided = "undecided"


@dataclass(frozen=True)
class Contrast:
    """The values of an arm and of its baseline in one metric, one for each planned seed.

    Attributes:
        arm: shape (seeds,); NaN is a missing value.
        baseline: shape (seeds,); NaN is a missing value.
        direction: the better direction: less, greater or none.
        deterministic: whether all seeds must have the same value, so that no test is needed.
    """

    arm: Floats
    baseline: Floats
    direction: str
    deterministic: bool = False

    @property
    def both_finite(self) -> np.ndarray:
        """Whether each seed has both values; shape (seeds,)."""
        return np.asarray(np.isfinite(self.arm) & np.isfinite(self.baseline))

    @property
    def is_complete(self) -> bool:
        """Whether every planned seed has both values."""
        return bool(self.both_finite.all())

    @property
    def differences(self) -> Floats:
        """Arm minus baseline for the seeds with both values; rounding errors are set to 0."""
        arm, baseline = self.arm[self.both_finite], self.baseline[self.both_finite]
        scale = np.maximum(np.abs(arm), np.abs(baseline))
        return np.asarray(
            np.where(np.abs(arm - baseline) > ROUNDING_TOLERANCE * scale, arm - baseline, 0.0)
        )

    @property
    def is_tested(self) -> bool:
        """Whether the contrast belongs to the family of tests."""
        return not self.deterministic and self.is_complete and len(self.arm) > 1


@dataclass(frozen=True)
class Decision:
    """The standing of a contrast, with its p-value and interval.

    Attributes:
        standing: better, worse, different, not told apart, or undecided.
        p: the max-T p-value; NaN without a test.
        reason: the reason for a standing without a test, or for an undecided one; else "".
        interval: the mean difference with its 95 % t-interval, or with NaN limits if it is exact;
            None for fewer than two pairs.
        minimum_detectable_effect: the smallest difference that the rule calls better or worse with
            80 % power; NaN without a test.
    """

    standing: Standing
    p: float = nan
    reason: str = ""
    interval: Interval | None = None
    minimum_detectable_effect: float = nan


def decide_standings(contrasts: Sequence[Contrast], alpha: float = ALPHA) -> list[Decision]:
    """Return a decision for each contrast; all tested contrasts are one family at level `alpha`.

    An arm is better or worse (different, if no direction is better) if both hold:
    - the max-T p-value is below alpha (`runner.stats.max_t`),
    - the 95 % t-interval excludes zero (`runner.stats.intervals`).
    A contrast with missing values is undecided, because the missing seeds may be the failed ones.
    """
    tested = [contrast.is_tested for contrast in contrasts]
    members = [contrast for contrast, member in zip(contrasts, tested, strict=True) if member]
    decisions = iter(_decide_tested(members, alpha) if members else ())
    return [
        next(decisions) if member else _decide_untested(contrast)
        for contrast, member in zip(contrasts, tested, strict=True)
    ]


class FamilyResults(NamedTuple):
    """The results of the rule for families of one shape: arrays (..., comparisons)."""

    p: Floats
    sd: Floats
    mean: Floats
    low: Floats
    high: Floats
    significant: np.ndarray  # whether an arm is called better, worse or different


def judge_families(differences: Floats, alpha: float = ALPHA) -> FamilyResults:
    """Apply the rule of `decide_standings` to differences (..., n seeds, comparisons)."""
    p = max_t_p(differences)
    sd = np.asarray(differences.std(axis=-2, ddof=1))
    mean = np.asarray(differences.mean(axis=-2))
    half = half_width(sd, differences.shape[-2])
    low, high = mean - half, mean + half
    return FamilyResults(p, sd, mean, low, high, (p < alpha) & ((low > 0) | (high < 0)))


def alpha_at_look(n_looks: int) -> float:
    """Return the level of the tests at the `n_looks`-th look at the same arms: ALPHA / n_looks."""
    return ALPHA / n_looks


def least_deciding_seeds(n_looks: int = 1) -> int:
    """Return the smallest number of seeds that can call a difference better or worse."""
    return least_seeds(alpha_at_look(n_looks))


def _decide_tested(members: Sequence[Contrast], alpha: float) -> Iterator[Decision]:
    differences = np.stack([contrast.differences for contrast in members], axis=1)
    n, n_members = differences.shape
    results = judge_families(differences, alpha)
    for contrast, p, sd, mean, low, high, significant in zip(
        members, *(column.tolist() for column in results), strict=True
    ):
        interval = Interval(mean, low, high, n)
        if least_max_t_p(n) >= alpha:
            seeds = format_count(n, "seed")
            reason = f"{seeds} cannot reach p < {alpha:.3g}; {least_seeds(alpha)} could"
            yield Decision(Standing.undecided, p, reason, interval)
            continue
        standing = _standing(contrast, mean) if significant else Standing.not_distinguished
        detectable = standing_detectable_effect(sd, n, n_members, alpha)
        yield Decision(standing, p, "", interval, detectable)


def _decide_untested(contrast: Contrast) -> Decision:
    n, planned = int(contrast.both_finite.sum()), len(contrast.arm)
    interval = mean_interval(contrast.differences) if n > 1 else None
    if n < planned:
        return Decision(Standing.undecided, reason=f"{n} of {planned} seeds", interval=interval)
    if not contrast.deterministic:
        return Decision(Standing.undecided, reason="only one seed")
    scale = max(np.abs(contrast.arm).max(), np.abs(contrast.baseline).max())
    if max(np.ptp(contrast.arm), np.ptp(contrast.baseline)) > ROUNDING_TOLERANCE * scale:
        reason = "declared to be the same at every seed, but it differs"
        return Decision(Standing.undecided, reason=reason, interval=interval)
    difference = float(contrast.differences[0])
    exact = Interval(difference, nan, nan, planned)
    if abs(difference) <= ROUNDING_TOLERANCE * scale:
        return Decision(Standing.not_distinguished, reason="equal", interval=exact)
    return Decision(_standing(contrast, difference), reason="exact", interval=exact)


def _standing(contrast: Contrast, difference: float) -> Standing:
    if contrast.direction == "none":
        return Standing.different
    better = (difference < 0) == (contrast.direction == "less")
    return Standing.better if better else Standing.worse
