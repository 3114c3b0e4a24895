"""Intervals and tests for paired samples of a few seeds.

The unit of replication is the seed. Tokens, batches, heads and timing repeats are nested in a seed
and never count as samples. The primary interval is Student's t: a nominal 95 % percentile bootstrap
of 5 to 10 seeds covers only 81 to 90 %. The exact tests are in `sign_flip`.

Every function raises ValueError for values that are not finite and for samples that are too small.
To keep planning fast, scipy is imported inside functions.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ROUNDING_TOLERANCE = 1e-12
"""Relative size of rounding errors: closer sums are ties, and narrower samples have no spread."""


class Interval(NamedTuple):
    """A mean of n independent values with its confidence limits."""

    mean: float
    low: float
    high: float
    n: int


def half_width(sd: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> Floats:
    """Return half the width of Student's t-interval, elementwise: t * sd / sqrt(n).

    `sd` are standard deviations (ddof 1) of n values. t is the (1 + confidence) / 2 quantile of
    Student's t with n - 1 degrees of freedom (Student 1908). Assumes independent normal values. NaN
    where n < 2.
    """
    from scipy.special import stdtrit

    check_share("confidence", confidence)
    n = np.asarray(n, dtype=float)
    degrees = np.where(n < 2, np.nan, n - 1)
    return np.asarray(stdtrit(degrees, (1 + confidence) / 2) * sd / np.sqrt(degrees + 1))


def mean_interval(sample: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return Student's t-interval for the mean of two or more values: mean +- t * sd / sqrt(n).

    Assumes independent normal values (Student 1908). For paired samples pass the differences
    (arm - control), one per seed.
    """
    values = check_sample(sample, min_size=2)
    mean = float(values.mean())
    half = float(half_width(values.std(ddof=1), len(values), confidence))
    return Interval(mean, mean - half, mean + half, len(values))


def abs_mean_bound(sample: ArrayLike, confidence: float = 0.95) -> float:
    """Return an upper bound of a mean's absolute value: max(|low|, |high|) of its t-interval.

    Assumes independent normal values. For the differences of an A/A pair it is the noise floor.
    """
    interval = mean_interval(sample, confidence)
    return max(abs(interval.low), abs(interval.high))


def fit_slopes(x: ArrayLike, y: ArrayLike) -> Floats:
    """Return the least-squares slope of y on x for every seed.

    Shapes: `x` (levels,), `y` (seeds, levels) -> (seeds,). With x centred, the slope of a seed is
    sum(x * y) / sum(x^2). The values of one seed depend on each other, so one fit through all
    values would give too narrow an interval. An interval over these slopes assumes only that seeds
    are independent and their slopes normal. For the exponent of a power law pass logarithms of
    both.
    """
    levels = check_sample(x, min_size=2)
    table = np.asarray(y, dtype=float)
    if table.ndim != 2 or table.shape[1] != len(levels):
        raise ValueError(f"y has shape {table.shape}; it must be (seeds, {len(levels)}).")
    centred = levels - levels.mean()
    spread = float(centred @ centred)
    if spread == 0:
        raise ValueError(f"A slope needs two different levels, but all of x is {levels[0]}.")
    return np.asarray(table @ centred / spread)


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values adjusted by Holm's step-down method (Holm 1979), in their original order.

    The k-th smallest of m p-values becomes the largest of (m - j + 1) * p_(j) over j <= k, at most
    1. Rejecting results below alpha keeps the chance of any false rejection in the family at alpha
    or below. This holds for any dependence between the tests.
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
    """Return the exact interval for a share of k in n, for example of diverged trials.

    Let tail = (1 - confidence) / 2. Then low is the tail quantile of Beta(k, n - k + 1), and high
    is the 1 - tail quantile of Beta(k + 1, n - k). Assumes independent trials with the same chance.
    The coverage is at least `confidence` (Clopper and Pearson 1934).
    """
    from scipy.special import betaincinv

    if not 0 <= k <= n or n < 1:
        raise ValueError(f"A share needs 0 <= k <= n and n >= 1, got k={k}, n={n}.")
    check_share("confidence", confidence)
    tail = (1 - confidence) / 2
    low = float(betaincinv(k, n - k + 1, tail)) if k else 0.0
    high = float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return Interval(k / n, low, high, n)


def binomial_p(k: int, n: int, share: float, alternative: Literal["greater", "less"]) -> float:
    """Return the one-sided exact p-value of k in n if the true share is `share`.

    For X ~ Binomial(n, share) it is P(X >= k) for "greater" and P(X <= k) for "less". Assumes
    independent trials with the same chance. `share` is the bound of the null hypothesis.
    """
    from scipy.special import betainc

    if not 0 <= k <= n or n < 1:
        raise ValueError(f"A share needs 0 <= k <= n and n >= 1, got k={k}, n={n}.")
    check_share("share", share)

    def at_least(count: int) -> float:
        return float(betainc(count, n - count + 1, share)) if 0 < count <= n else float(count == 0)

    return at_least(k) if alternative == "greater" else 1.0 - at_least(k + 1)


def inside_p(sample: ArrayLike, low: float, high: float) -> float:
    """Return the p-value of the claim that a mean is inside (low, high).

    It is the larger p-value of the one-sided t-tests for mean > low and for mean < high. It is
    below alpha exactly if the 1 - 2 alpha t-interval is inside (low, high). With (-delta, delta)
    and paired differences this is TOST (Schuirmann 1987). "Not significantly different" is not
    evidence of equality, but this test is. Assumes independent normal values. Without spread the
    p-value is 0 inside and 1 outside.
    """
    _check_band(low, high)
    return max(_one_sided_p(sample, low, 1), _one_sided_p(sample, high, -1))


def outside_p(sample: ArrayLike, low: float, high: float) -> float:
    """Return the p-value of the claim that a mean is outside [low, high].

    It is the smaller p-value of the one-sided t-tests for mean < low and for mean > high. It is not
    doubled: for a true mean at one limit, the test of the other limit hardly ever errs, unless the
    band is narrow compared with the standard error. Assumes independent normal values.
    """
    _check_band(low, high)
    return min(_one_sided_p(sample, low, -1), _one_sided_p(sample, high, 1))


def sd_limit(share: float, n: int, *, upper: bool) -> float:
    """Return a one-sided 1 - share confidence limit of a standard deviation, over its estimate.

    It is sqrt((n - 1) / q), q a quantile of the chi-squared distribution with n - 1 degrees of
    freedom. The upper limit takes the `share` quantile, and the lower one the 1 - share quantile.
    Assumes n independent normal values, for which (n - 1) * sd^2 / sigma^2 has this distribution.
    """
    from scipy.special import chdtri

    check_share("share", share)
    return math.sqrt((n - 1) / float(chdtri(n - 1, 1 - share if upper else share)))


def split_level_p(p_at: Callable[[float], float]) -> float:
    """Return the p-value of a test that spends half of its level on the limit of a nuisance value.

    The test at level 2 * share replaces the unknown value by a confidence limit that is wrong with
    probability `share`. `p_at(share)` is the p-value with this limit. The test rejects if it is
    below `share`. By Bonferroni's inequality, 2 * share bounds the chance of a false rejection (as
    in Berger and Boos 1994). The result is the smallest level that rejects, by bisection of its
    logarithm. P-values above 1/2 become 1.
    """
    low, high = 1e-12, 0.25
    if not p_at(high) < high:
        return 1.0
    for _ in range(50):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if p_at(middle) < middle else (middle, high)
    return 2 * high


def _one_sided_p(sample: ArrayLike, bound: float, sign: int) -> float:
    """Return the p-value of a t-test for a mean above (sign 1) or below (sign -1) the bound."""
    from scipy.special import stdtr

    values = check_sample(sample, min_size=2)
    distance = sign * (float(values.mean()) - bound)
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    statistic = (
        distance / error if error else math.copysign(math.inf, distance) if distance else 0.0
    )
    return float(stdtr(len(values) - 1, -statistic))


def _check_band(low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f"A band needs two finite limits, the lower one first; got [{low}, {high}]."
        )


def has_spread(differences: Floats, scale: float) -> bool:
    """Whether differences of values of size `scale` vary by more than rounding errors."""
    return bool(np.ptp(differences) > ROUNDING_TOLERANCE * scale)


def check_sample(values: ArrayLike, min_size: int) -> Floats:
    """Return a list of at least `min_size` finite numbers as an array, else raise ValueError."""
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1 or len(sample) < min_size:
        raise ValueError(
            f"A sample needs one list of {min_size} or more values, got shape {sample.shape}."
        )
    if not np.isfinite(sample).all():
        raise ValueError(f"Values must be finite, got {sample.tolist()}; clip diverged trials.")
    return sample


def check_share(name: str, value: float) -> None:
    """Raise ValueError unless a value is between 0 and 1, both excluded."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}.")
