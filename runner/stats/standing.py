"""The rule for "better": what may be said of arms that are compared with their baselines.

All comparisons of an answer are one family (`runner.stats.max_t`), so that the chance of any wrong
word in an answer is alpha. A later look has alpha divided by its number. That holds for each look;
over several, until the first word, it is somewhat more (docs/trust.md, error rates).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import nan
from typing import NamedTuple

import numpy as np

from runner.stats.intervals import ROUNDING_TOLERANCE, Floats, Interval, half_width, mean_interval
from runner.stats.max_t import least_max_t_p, least_seeds, max_t_p, standing_detectable_effect

ALPHA = 0.05


class Standing(StrEnum):
    """What is said of an arm beside its baseline."""

    better = "better"
    worse = "worse"
    different = "different"
    not_distinguished = "no significant difference"
    undecided = "undecided"


@dataclass(frozen=True)
class Contrast:
    """An arm and its baseline in one metric, a value for each planned seed; NaN is a missing one.

    `direction` says which way is better: less, greater or none. Of a `deterministic` metric no
    seed changes the value, so that no test is needed.
    """

    arm: Floats
    baseline: Floats
    direction: str
    deterministic: bool = False

    @property
    def both_finite(self) -> np.ndarray:
        """The seeds that have both values."""
        return np.asarray(np.isfinite(self.arm) & np.isfinite(self.baseline))

    @property
    def is_complete(self) -> bool:
        """Whether every planned seed has both values."""
        return bool(self.both_finite.all())

    @property
    def differences(self) -> Floats:
        """Arm minus baseline, for the seeds that have both; what rounding leaves is 0."""
        arm, baseline = self.arm[self.both_finite], self.baseline[self.both_finite]
        scale = np.maximum(np.abs(arm), np.abs(baseline))
        return np.asarray(
            np.where(np.abs(arm - baseline) > ROUNDING_TOLERANCE * scale, arm - baseline, 0.0)
        )

    @property
    def is_tested(self) -> bool:
        """Whether it belongs to the family of tests."""
        return not self.deterministic and self.is_complete and len(self.arm) > 1


@dataclass(frozen=True)
class Decision:
    """The word for a contrast, the p-value behind it, and why where nothing is decided.

    `minimum_detectable_effect` is the least difference that this word had been given with 80 % power.
    """

    standing: Standing
    p: float = nan
    reason: str = ""
    interval: Interval | None = None
    minimum_detectable_effect: float = nan


def decide_standings(contrasts: Sequence[Contrast], alpha: float = ALPHA) -> list[Decision]:
    """A decision for each contrast, all of them one family at level `alpha`.

    Better or worse (different, where neither way is better) needs a max-T p-value below alpha and a
    95 % t-interval without zero. Missing values bar it: those seeds may be the ones that failed.
    """
    tested = [contrast.is_tested for contrast in contrasts]
    members = [contrast for contrast, member in zip(contrasts, tested, strict=True) if member]
    decisions = iter(_tested(members, alpha) if members else ())
    return [
        next(decisions) if member else _untested(contrast)
        for contrast, member in zip(contrasts, tested, strict=True)
    ]


class FamilyResults(NamedTuple):
    """What the rule finds in families of one shape; arrays (..., comparisons)."""

    p: Floats
    sd: Floats
    mean: Floats
    low: Floats
    high: Floats
    significant: np.ndarray  # whether a word is said


def judge_families(differences: Floats, alpha: float = ALPHA) -> FamilyResults:
    """Judge families of paired differences, (..., n seeds, comparisons): the rule of `decide_standings`."""
    p = max_t_p(differences)
    sd = np.asarray(differences.std(axis=-2, ddof=1))
    mean = np.asarray(differences.mean(axis=-2))
    half = half_width(sd, differences.shape[-2])
    low, high = mean - half, mean + half
    return FamilyResults(p, sd, mean, low, high, (p < alpha) & ((low > 0) | (high < 0)))


def alpha_at_look(looks: int) -> float:
    """The level of the tests at the `looks`-th look at the same arms."""
    return ALPHA / looks


def least_deciding_seeds(looks: int = 1) -> int:
    """The least number of seeds with which any difference can be called better or worse."""
    return least_seeds(alpha_at_look(looks))


def _tested(members: Sequence[Contrast], alpha: float) -> Iterator[Decision]:
    differences = np.stack([contrast.differences for contrast in members], axis=1)
    n, n_members = differences.shape
    found = judge_families(differences, alpha)
    for contrast, p, sd, mean, low, high, apart in zip(
        members, *(column.tolist() for column in found), strict=True
    ):
        interval = Interval(mean, low, high, n)
        if least_max_t_p(n) >= alpha:
            reason = f"{n} seeds cannot reach p < {alpha:.3g}; {least_seeds(alpha)} could"
            yield Decision(Standing.undecided, p, reason, interval)
            continue
        standing = _word(contrast, mean) if apart else Standing.not_distinguished
        detectable = standing_detectable_effect(sd, n, n_members, alpha)
        yield Decision(standing, p, "", interval, detectable)


def _untested(contrast: Contrast) -> Decision:
    n, planned = int(contrast.both_finite.sum()), len(contrast.arm)
    interval = mean_interval(contrast.differences) if n > 1 else None
    if n < planned:
        return Decision(Standing.undecided, reason=f"{n} of {planned} seeds", interval=interval)
    if not contrast.deterministic:
        return Decision(Standing.undecided, reason="only one seed")
    scale = max(np.abs(contrast.arm).max(), np.abs(contrast.baseline).max())
    if max(np.ptp(contrast.arm), np.ptp(contrast.baseline)) > ROUNDING_TOLERANCE * scale:
        reason = "declared to be the same at every seed, and it is not"
        return Decision(Standing.undecided, reason=reason, interval=interval)
    difference = float(contrast.differences[0])
    exact = Interval(difference, nan, nan, planned)
    if abs(difference) <= ROUNDING_TOLERANCE * scale:
        return Decision(Standing.not_distinguished, reason="equal", interval=exact)
    return Decision(_word(contrast, difference), reason="exact", interval=exact)


def _word(contrast: Contrast, difference: float) -> Standing:
    if contrast.direction == "none":
        return Standing.different
    better = (difference < 0) == (contrast.direction == "less")
    return Standing.better if better else Standing.worse
