"""One family of paired comparisons: the max-T sign-flip test (Westfall and Young 1993).

A pattern gives every seed one sign, the same for all comparisons, so that whatever they share (the
baseline above all) stays shared. The p-value of a comparison is the share of patterns whose largest
|t| over all comparisons reaches its own |t|. Rejecting below alpha keeps the chance of any false
rejection in the family at alpha, if the differences are jointly symmetric about zero where there is
no effect. The least p-value is 2 / 2^n, however many comparisons there are: Holm's correction of
separate sign-flip tests multiplies it by their number, and a few seeds can then show nothing.
"""

import math
from functools import lru_cache

import numpy as np

from runner.stats.intervals import ROUNDING_TOLERANCE, Floats, check_share, half_width
from runner.stats.sign_flip import MONTE_CARLO_DRAWS, MONTE_CARLO_SEED

EXACT_UP_TO = 14  # seeds: 2^13 patterns, up to their common sign
CHUNK_SIZE = 2**22  # numbers held at a time
N_SIMULATED_STUDIES = (
    2000  # simulated for a detectable effect, with so many patterns of signs at most
)
SAMPLED = 2048


def max_t_p(differences: Floats) -> Floats:
    """P-values of a family (n seeds, comparisons), two-sided: one for each comparison.

    Leading axes are families of their own. Exact by enumeration up to 14 seeds; above, 19 999
    random patterns of numpy's default generator with seed 0, the data counted as one more (Phipson
    and Smyth 2010). A comparison whose differences are all zero has p = 1.

    Raises:
        ValueError: a value is not finite, or there is no seed.
    """
    values = np.asarray(differences, dtype=float)
    if values.ndim < 2 or not values.shape[-2]:
        raise ValueError(f"needs an array (seeds, comparisons), got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("differences must be finite; leave out comparisons that lack seeds")
    scaled = _scaled(values)
    observed = np.abs(scaled.sum(axis=-2)) * (1 - ROUNDING_TOLERANCE)
    reached = np.zeros(observed.shape)
    if not observed.size:
        return reached
    n = values.shape[-2]
    signs = sign_patterns(n)
    step = max(1, CHUNK_SIZE // observed.size)
    for start in range(0, len(signs), step):
        largest = np.abs(signs[start : start + step] @ scaled).max(axis=-1)
        reached += (largest[..., None] >= observed[..., None, :]).sum(axis=-2)
    if n <= EXACT_UP_TO:
        return np.asarray(reached / len(signs))
    return np.asarray((1 + reached) / (1 + len(signs)))


def least_max_t_p(n: int) -> float:
    """The smallest p-value that n seeds can give, whatever the number of comparisons."""
    return 2.0 ** (1 - n) if n <= EXACT_UP_TO else 1 / (1 + MONTE_CARLO_DRAWS)


def least_seeds(alpha: float) -> int:
    """The smallest number of seeds whose least p-value is below alpha: 6 for 0.05."""
    check_share("alpha", alpha)
    return math.floor(1 - math.log2(alpha)) + 1


def standing_detectable_effect(
    sd: float, n: int, comparisons: int, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Least mean difference that is called better or worse with this power.

    `sd` is that of the paired differences, the result in its unit. The rule is that of the answer:
    the max-T p-value below alpha, and the 95 % t-interval without zero. The other comparisons of
    the family are taken to be independent and without effect, which asks for the largest effect.
    By a simulation of 2000 studies with normal noise (fixed seed, power to +-0.01). Infinite where
    n seeds cannot reach alpha.
    """
    if not (math.isfinite(sd) and sd >= 0) or n < 2 or comparisons < 1:
        raise ValueError(f"needs sd >= 0, n >= 2, a comparison; got {sd}, {n}, {comparisons}")
    factor = _word_factor(n, comparisons, alpha, power)
    return factor if math.isinf(factor) else sd * factor


def sign_patterns(n: int) -> Floats:
    """Patterns of signs (patterns, n): all of them up to a common sign, or a random sample."""
    if n <= EXACT_UP_TO:
        numbers = np.arange(2 ** (n - 1))
        bits = (numbers[:, None] >> np.arange(n - 1)) & 1
        return np.hstack([np.ones((len(numbers), 1)), 1.0 - 2.0 * bits])
    draw = np.random.default_rng(MONTE_CARLO_SEED)
    return draw.choice([-1.0, 1.0], size=(MONTE_CARLO_DRAWS, n))


def _scaled(values: Floats) -> Floats:
    """Columns over their root of the sum of squares, which no pattern of signs changes.

    |t| grows with the size of the sum of such a column, so the sums are compared in its place.
    """
    size = np.sqrt((values**2).sum(axis=-2, keepdims=True))
    return np.divide(values, size, out=np.zeros_like(values), where=size > 0)


@lru_cache
def _word_factor(n: int, comparisons: int, alpha: float, power: float) -> float:
    check_share("alpha", alpha)
    check_share("power", power)
    if least_max_t_p(n) >= alpha:
        return math.inf
    draw = np.random.default_rng(MONTE_CARLO_SEED)
    signs = sign_patterns(n)
    if len(signs) > SAMPLED:  # enough to tell a p of 0.05 to +-0.005
        signs = draw.choice(signs, SAMPLED, replace=False)
    noise = draw.standard_normal((N_SIMULATED_STUDIES, n))
    others = np.zeros((N_SIMULATED_STUDIES, len(signs)), dtype=np.float32)
    for _ in range(comparisons - 1):
        other = _scaled(draw.standard_normal((N_SIMULATED_STUDIES, n, 1)))[..., 0]
        np.maximum(others, np.abs(other @ signs.T), out=others)
    half = half_width(noise.std(axis=1, ddof=1), n)
    low, high = 0.0, 32.0
    for _ in range(15):
        effect = (low + high) / 2
        shifted = noise + effect
        scaled = _scaled(shifted[..., None])[..., 0]
        observed = np.abs(scaled.sum(axis=1))
        largest = np.maximum(others, np.abs(scaled @ signs.T))
        p = (largest >= observed[:, None] * (1 - 1e-6)).mean(axis=1)
        found = ((p < alpha) & (shifted.mean(axis=1) > half)).mean()
        low, high = (low, effect) if found >= power else (effect, high)
    return high
