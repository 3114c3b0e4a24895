"""The rule for "better": what may be said of arms that are compared with their baselines.

All comparisons of an answer are one family (`runner.stats.max_t`), so that the chance of any wrong
word in an answer is alpha. Divided by the number of looks it holds over the looks too (Bonferroni).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import nan

import numpy as np

from runner.stats.intervals import ROUNDING, Floats, Interval, mean_interval
from runner.stats.max_t import least_max_t_p, least_seeds, max_t_p, word_detectable_effect

ALPHA = 0.05


class Standing(StrEnum):
    """What is said of an arm beside its baseline."""

    better = "better"
    worse = "worse"
    different = "different"
    alike = "not told apart"
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
    def there(self) -> np.ndarray:
        """The seeds that have both values."""
        return np.asarray(np.isfinite(self.arm) & np.isfinite(self.baseline))

    @property
    def complete(self) -> bool:
        """Whether every planned seed has both values."""
        return bool(self.there.all())

    @property
    def differences(self) -> Floats:
        """Arm minus baseline, for the seeds that have both."""
        return np.asarray(self.arm[self.there] - self.baseline[self.there])

    @property
    def tested(self) -> bool:
        """Whether it belongs to the family of tests."""
        return not self.deterministic and self.complete and len(self.arm) > 1


@dataclass(frozen=True)
class Decision:
    """The word for a contrast, the p-value behind it, and why where nothing is decided.

    `detectable` is the least difference that this word had been given with 80 % power.
    """

    standing: Standing
    p: float = nan
    reason: str = ""
    interval: Interval | None = None
    detectable: float = nan


def decide(contrasts: Sequence[Contrast], alpha: float = ALPHA) -> list[Decision]:
    """A decision for each contrast, all of them one family at level `alpha`.

    Better or worse (different, where neither way is better) needs a max-T p-value below alpha and a
    95 % t-interval without zero. Missing values bar it: those seeds may be the ones that failed.
    """
    members = [contrast for contrast in contrasts if contrast.tested]
    p_values = iter(
        max_t_p(np.stack([c.differences for c in members], axis=1)) if members else np.empty(0)
    )
    return [
        _tested(contrast, float(next(p_values)), len(members), alpha)
        if contrast.tested
        else _untested(contrast)
        for contrast in contrasts
    ]


def seeds_that_could_tell(looks: int = 1) -> int:
    """The least number of seeds with which any difference can be called better or worse."""
    return least_seeds(ALPHA / looks)


def _tested(contrast: Contrast, p: float, members: int, alpha: float) -> Decision:
    differences = contrast.differences
    n = len(differences)
    interval = mean_interval(differences)
    if least_max_t_p(n) >= alpha:
        reason = f"{n} seeds cannot reach p < {alpha:.3g}; {least_seeds(alpha)} could"
        return Decision(Standing.undecided, p, reason, interval)
    sd = float(differences.std(ddof=1))
    detectable = word_detectable_effect(sd, n, members, alpha)
    apart = p < alpha and (interval.low > 0 or interval.high < 0)
    standing = _word(contrast, interval.mean) if apart else Standing.alike
    return Decision(standing, p, "", interval, detectable)


def _untested(contrast: Contrast) -> Decision:
    n, planned = int(contrast.there.sum()), len(contrast.arm)
    interval = mean_interval(contrast.differences) if n > 1 else None
    if n < planned:
        return Decision(Standing.undecided, reason=f"{n} of {planned} seeds", interval=interval)
    if not contrast.deterministic:
        return Decision(Standing.undecided, reason="only one seed")
    scale = max(np.abs(contrast.arm).max(), np.abs(contrast.baseline).max())
    if max(np.ptp(contrast.arm), np.ptp(contrast.baseline)) > ROUNDING * scale:
        reason = "declared to be the same at every seed, and it is not"
        return Decision(Standing.undecided, reason=reason, interval=interval)
    difference = float(contrast.differences[0])
    exact = Interval(difference, nan, nan, planned)
    if abs(difference) <= ROUNDING * scale:
        return Decision(Standing.alike, reason="equal", interval=exact)
    return Decision(_word(contrast, difference), reason="exact", interval=exact)


def _word(contrast: Contrast, difference: float) -> Standing:
    if contrast.direction == "none":
        return Standing.different
    better = (difference < 0) == (contrast.direction == "less")
    return Standing.better if better else Standing.worse
