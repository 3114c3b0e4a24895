"""One family of paired comparisons: the max-T sign-flip test (Westfall and Young 1993).

A pattern gives each seed one sign, the same for all comparisons. So it preserves the dependence
between the comparisons, which share the baseline above all. The p-value of a comparison is the
share of patterns whose largest |t| over all comparisons is at least its own observed |t|.

Rejecting below alpha keeps the chance of any false rejection in the family at alpha or below. The
test assumes that the differences without an effect are jointly symmetric about zero. The least
p-value is 2 / 2^n for any number of comparisons. Holm's correction of separate sign-flip tests
would multiply it by this number, and a few seeds could then detect nothing.
"""

import math
from functools import lru_cache

import numpy as np

from runner.stats.intervals import ROUNDING_TOLERANCE, Floats, check_share, half_width
from runner.stats.sign_flip import MONTE_CARLO_DRAWS, MONTE_CARLO_SEED

EXACT_UP_TO = 14  # seeds; they have 2^13 patterns up to a common sign
CHUNK_SIZE = 2**22  # numbers in memory at a time
N_SIMULATED_STUDIES = 2000  # for a detectable effect
MAX_SIMULATED_PATTERNS = 2048  # of signs, in each of these studies


def max_t_p(differences: Floats) -> Floats:
    """Return two-sided p-values of families: (..., n seeds, comparisons) -> (..., comparisons).

    Leading axes are separate families. The p-value of comparison c is the share of patterns with
    max over j of |t_j(pattern)| >= |t_c(observed)|. A comparison whose differences are all zero has
    p = 1. The module's docstring has assumption and source.

    - Up to 14 seeds: exact by enumeration.
    - Above: 19 999 random patterns of numpy's default generator with seed 0. With k of them as
      extreme as the data, p = (1 + k) / 20 000 (Phipson and Smyth 2010).

    Raises:
        ValueError: a value is not finite, or there are no seeds.
    """
    values = np.asarray(differences, dtype=float)
    if values.ndim < 2 or not values.shape[-2]:
        raise ValueError(
            f"differences have shape {values.shape}; it must be (..., seeds, comparisons)"
        )
    if not np.isfinite(values).all():
        raise ValueError("differences must be finite; leave out comparisons that lack seeds")
    scaled = _normalise(values)
    # The tolerance counts a sum that differs from the observed one by rounding as a tie.
    observed = np.abs(scaled.sum(axis=-2)) * (1 - ROUNDING_TOLERANCE)
    reached = np.zeros(observed.shape)
    if not observed.size:
        return reached
    n = values.shape[-2]
    signs = sign_patterns(n)
    step = max(1, CHUNK_SIZE // observed.size)
    # Count the patterns whose largest |t| reaches each observed |t|, a chunk of patterns at a time.
    for start in range(0, len(signs), step):
        largest = np.abs(signs[start : start + step] @ scaled).max(axis=-1)
        reached += (largest[..., None] >= observed[..., None, :]).sum(axis=-2)
    if n <= EXACT_UP_TO:
        return np.asarray(reached / len(signs))
    return np.asarray((1 + reached) / (1 + len(signs)))


def least_max_t_p(n: int) -> float:
    """Return the smallest p-value of n seeds, for any number of comparisons: 2 / 2^n if exact."""
    return 2.0 ** (1 - n) if n <= EXACT_UP_TO else 1 / (1 + MONTE_CARLO_DRAWS)


def least_seeds(alpha: float) -> int:
    """Return the smallest number of seeds n with 2 / 2^n < alpha: 6 for 0.05."""
    check_share("alpha", alpha)
    return math.floor(1 - math.log2(alpha)) + 1


def standing_detectable_effect(
    sd: float, n: int, comparisons: int, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Return the smallest mean difference that is called better or worse with this power.

    The rule is `runner.stats.standing.decide_standings`: max-T p-value below alpha, and 95 %
    t-interval without zero. The result has the unit of `sd`, the standard deviation of the n paired
    differences. It is infinite if n seeds cannot reach alpha.

    A simulation of 2000 studies with independent normal differences finds it (fixed seed, power to
    +-0.01). The other comparisons of the family are simulated as independent and without
    effect, which requires the largest effect.
    """
    if not (math.isfinite(sd) and sd >= 0) or n < 2 or comparisons < 1:
        raise ValueError(
            f"A detectable effect needs a finite sd >= 0, n >= 2 and comparisons >= 1, got "
            f"sd={sd}, n={n}, comparisons={comparisons}."
        )
    factor = _standing_factor(n, comparisons, alpha, power)
    return factor if math.isinf(factor) else sd * factor


def sign_patterns(n: int) -> Floats:
    """Return patterns of signs, (patterns, n): all up to a common sign, or a random sample."""
    if n <= EXACT_UP_TO:
        numbers = np.arange(2 ** (n - 1))
        bits = (numbers[:, None] >> np.arange(n - 1)) & 1
        return np.hstack([np.ones((len(numbers), 1)), 1.0 - 2.0 * bits])
    draw = np.random.default_rng(MONTE_CARLO_SEED)
    return draw.choice([-1.0, 1.0], size=(MONTE_CARLO_DRAWS, n))


def _normalise(values: Floats) -> Floats:
    """Divide each column by its root of the sum of squares, which no pattern of signs changes.

    With S the sum of such a column, |t| = |S| * sqrt((n - 1) / (n - S^2)). This grows with |S|, so
    |S| is compared in place of |t|.
    """
    size = np.sqrt((values**2).sum(axis=-2, keepdims=True))
    return np.divide(values, size, out=np.zeros_like(values), where=size > 0)


@lru_cache
def _standing_factor(n: int, comparisons: int, alpha: float, power: float) -> float:
    check_share("alpha", alpha)
    check_share("power", power)
    if least_max_t_p(n) >= alpha:
        return math.inf
    draw = np.random.default_rng(MONTE_CARLO_SEED)
    signs = sign_patterns(n)
    if len(signs) > MAX_SIMULATED_PATTERNS:  # enough for a p-value of 0.05 to +-0.005
        signs = draw.choice(signs, MAX_SIMULATED_PATTERNS, replace=False)
    # One sample of noise serves all effects, so the detected share grows with the effect.
    noise = draw.standard_normal((N_SIMULATED_STUDIES, n))
    # Largest |S| of the other comparisons, which have no effect, in each study and pattern.
    others = np.zeros((N_SIMULATED_STUDIES, len(signs)), dtype=np.float32)
    sums = np.empty(others.shape)  # one array for all sums: new memory would take half of the time
    for _ in range(comparisons - 1):
        other = _normalise(draw.standard_normal((N_SIMULATED_STUDIES, n, 1)))[..., 0]
        np.abs(np.matmul(other, signs.T, out=sums), out=sums)
        np.maximum(others, sums, out=others)
    half = half_width(noise.std(axis=1, ddof=1), n)
    # Bisection of the effect, in units of sd.
    low, high = 0.0, 32.0
    for _ in range(15):
        effect = (low + high) / 2
        shifted = noise + effect
        excludes_zero = shifted.mean(axis=1) > half
        # Without enough intervals that exclude zero, the p-values need not be computed.
        is_detected = excludes_zero.mean() >= power
        if is_detected:
            scaled = _normalise(shifted[..., None])[..., 0]
            observed = np.abs(scaled.sum(axis=1))
            np.abs(np.matmul(scaled, signs.T, out=sums), out=sums)
            np.maximum(others, sums, out=sums)
            p = (sums >= observed[:, None] * (1 - 1e-6)).mean(axis=1)
            is_detected = ((p < alpha) & excludes_zero).mean() >= power
        low, high = (low, effect) if is_detected else (effect, high)
    return high
