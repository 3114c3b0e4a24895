"""Statistics of paired samples: what a handful of seeds can and cannot show.

The unit of replication is the seed; tokens, batches, heads and timing repeats are nested in it and
never counted. The primary interval is Student's t, because a percentile bootstrap of 5 to 10 seeds
covers 81 to 90 % where it says 95 %. The exact tests are in `sign_flip`.

Every function raises ValueError for values that are not finite and for samples that are too small.
scipy is imported where it is used: planning a study must not pay for it.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ROUNDING_TOLERANCE = (
    1e-12  # relative: sums closer than this are ties, samples narrower have no spread
)


class Interval(NamedTuple):
    """A mean with its confidence limits, from n independent values."""

    mean: float
    low: float
    high: float
    n: int


def half_width(sd: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> Floats:
    """Half of Student's interval for standard deviations (ddof 1) of n values, elementwise.

    NaN where n < 2.
    """
    from scipy.special import stdtrit

    check_share("confidence", confidence)
    n = np.asarray(n, dtype=float)
    degrees = np.where(n < 2, np.nan, n - 1)
    return np.asarray(stdtrit(degrees, (1 + confidence) / 2) * sd / np.sqrt(degrees + 1))


def mean_interval(sample: ArrayLike, confidence: float = 0.95) -> Interval:
    """Student's interval for the mean of one sample of at least two values.

    Of paired samples give the differences (arm - control), one per seed.
    """
    values = check_sample(sample, min_size=2)
    mean = float(values.mean())
    half = float(half_width(values.std(ddof=1), len(values), confidence))
    return Interval(mean, mean - half, mean + half, len(values))


def abs_mean_bound(sample: ArrayLike, confidence: float = 0.95) -> float:
    """Return how large a mean may be in size: max(|low|, |high|) of its t-interval.

    Of the differences between two copies of an arm it is the noise floor.
    """
    same = mean_interval(sample, confidence)
    return max(abs(same.low), abs(same.high))


def fit_slopes(x: ArrayLike, y: ArrayLike) -> Floats:
    """Least-squares slope of y on x for every seed: `x` (levels,), `y` (seeds, levels) -> (seeds,).

    Points of one seed share its luck, so a fit through all points at once would be too sure: an
    interval is over these slopes. A power law needs logarithms of both.
    """
    levels = check_sample(x, min_size=2)
    table = np.asarray(y, dtype=float)
    if table.ndim != 2 or table.shape[1] != len(levels):
        raise ValueError(f"y has shape {table.shape}, needed is (seeds, {len(levels)}).")
    centred = levels - levels.mean()
    spread = float(centred @ centred)
    if spread == 0:
        raise ValueError(f"A slope needs two different levels, all of x is {levels[0]}.")
    return np.asarray(table @ centred / spread)


def holm(p_values: ArrayLike) -> Floats:
    """P-values adjusted by Holm's step-down method (1979), in the order given.

    Rejecting where the result is below alpha keeps the chance of any false rejection in the family
    at alpha, however the tests depend on each other.
    """
    p = np.asarray(p_values, dtype=float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"P-values must be one list of numbers in [0, 1], got {p.tolist()}.")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Exact interval for a share of k in n, for example of diverged trials; never narrower."""
    from scipy.special import betaincinv

    if not 0 <= k <= n or n < 1:
        raise ValueError(f"A share needs 0 <= k <= n and n >= 1, got k={k}, n={n}.")
    check_share("confidence", confidence)
    tail = (1 - confidence) / 2
    low = float(betaincinv(k, n - k + 1, tail)) if k else 0.0
    high = float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return Interval(k / n, low, high, n)


def binomial_p(k: int, n: int, share: float, alternative: Literal["greater", "less"]) -> float:
    """One-sided exact p-value of k in n where the true share is at the stated bound."""
    from scipy.special import betainc

    if not 0 <= k <= n or n < 1:
        raise ValueError(f"A share needs 0 <= k <= n and n >= 1, got k={k}, n={n}.")
    check_share("share", share)

    def at_least(count: int) -> float:
        return float(betainc(count, n - count + 1, share)) if 0 < count <= n else float(count == 0)

    return at_least(k) if alternative == "greater" else 1.0 - at_least(k + 1)


def inside_p(sample: ArrayLike, low: float, high: float) -> float:
    """P-value for a mean inside (low, high): the larger of two one-sided t-tests.

    Below alpha exactly where the 1 - 2 alpha interval lies inside. With (-delta, delta) and paired
    differences this is TOST (Schuirmann 1987): "not significantly different" is no evidence of
    equality, this is. Without spread it is 0 inside and 1 outside.
    """
    _check_band(low, high)
    return max(_one_sided_p(sample, low, 1), _one_sided_p(sample, high, -1))


def outside_p(sample: ArrayLike, low: float, high: float) -> float:
    """P-value for a mean outside [low, high]: the smaller of two one-sided t-tests.

    The mean lies on one side at most, so one of them alone can be wrong.
    """
    _check_band(low, high)
    return min(_one_sided_p(sample, low, -1), _one_sided_p(sample, high, 1))


def sd_limit(share: float, n: int, *, upper: bool) -> float:
    """The one-sided 1 - share confidence limit of a standard deviation, over its estimate.

    From n normal values: sqrt((n - 1) / q), q a quantile of chi-squared with n - 1 degrees.
    """
    from scipy.special import chdtri

    check_share("share", share)
    return math.sqrt((n - 1) / float(chdtri(n - 1, 1 - share if upper else share)))


def split_level_p(p_at: Callable[[float], float]) -> float:
    """P-value of a test that spends half of its level on a nuisance limit: least level that passes.

    `p_at(share)` is the p-value where the limit is wrong with a chance of `share`; the test passes
    at a level of 2 x share where it is below `share`. P-values above 1/2 are given as 1.
    """
    low, high = 1e-12, 0.25
    if not p_at(high) < high:
        return 1.0
    for _ in range(50):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if p_at(middle) < middle else (middle, high)
    return 2 * high


def _one_sided_p(sample: ArrayLike, bound: float, sign: int) -> float:
    """For a mean above (sign 1) or below (sign -1) the bound."""
    from scipy.special import stdtr

    values = check_sample(sample, min_size=2)
    room = sign * (float(values.mean()) - bound)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    statistic = room / error if error else math.copysign(math.inf, room) if room else 0.0
    return float(stdtr(len(values) - 1, -statistic))


def _check_band(low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"A band needs finite ends, the lower one first, got [{low}, {high}].")


def has_spread(differences: Floats, scale: float) -> bool:
    """Whether values of this scale differ by more than rounding does."""
    return bool(np.ptp(differences) > ROUNDING_TOLERANCE * scale)


def check_sample(values: ArrayLike, min_size: int) -> Floats:
    """A list of at least so many finite numbers, as an array; else ValueError."""
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1 or len(sample) < min_size:
        raise ValueError(f"Needs one list of {min_size} or more values, got shape {sample.shape}.")
    if not np.isfinite(sample).all():
        raise ValueError(f"Values must be finite, got {sample.tolist()}; clip diverged trials.")
    return sample


def check_share(name: str, value: float) -> None:
    """ValueError for a value that is not strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}.")
