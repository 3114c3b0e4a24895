"""The sign-flip test: the exact permutation test of paired differences (Fisher 1935).

Under the null hypothesis, each difference has either sign with the same chance. The p-value is the
share of all 2^n patterns of signs whose sum is at least as extreme as the observed sum. The test
assumes only that differences are independent between seeds and symmetric about zero. For outcomes
that are 0 or 1 it is McNemar's exact test: pairs with equal outcomes do not count.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runner.stats.intervals import ROUNDING_TOLERANCE, Floats, check_sample

Alternative = Literal["two-sided", "greater", "less"]

EXACT_UP_TO = 20  # seeds; the sums of 2^20 sign patterns take 8 MiB
MONTE_CARLO_SEED = 0
MONTE_CARLO_DRAWS = 19_999  # p has the resolution 1 / 20 000
CHUNK_SIZE = 2**21  # sums in memory at a time


def sign_flip_p(differences: ArrayLike, alternative: Alternative = "two-sided") -> float:
    """Return the p-value of the sign-flip test of one sample of differences.

    p is the share of sign patterns s with T(s) >= T(observed). T is |sum of s * differences|
    (two-sided), or that sum ("greater"), or its negative ("less").

    - Up to 20 differences: exact by enumeration, so never below 2 / 2^n (two-sided).
    - Above: 19 999 random patterns of numpy's default generator with seed 0. With k of them as
      extreme as the data, p = (1 + k) / 20 000, so p is never 0 (Phipson and Smyth 2010).
    """
    return float(sign_flip_rows(check_sample(differences, min_size=1)[None], alternative)[0])


def sign_flip_rows(differences: Floats, alternative: Alternative = "two-sided") -> Floats:
    """Return `sign_flip_p` of every row: (rows, n) -> (rows,).

    A difference of 0 leaves the exact p-value unchanged: both its signs give the same sums.
    """
    if alternative not in ("two-sided", "greater", "less"):
        raise ValueError(f"alternative={alternative!r} must be two-sided, greater or less.")
    if not np.isfinite(differences).all():
        raise ValueError("Differences must be finite; clip a diverged trial before pairing.")
    n = differences.shape[1]
    rows = -differences if alternative == "less" else differences
    exact = n <= EXACT_UP_TO
    test, patterns = (_exact_p, 2 ** (n - 1)) if exact else (_sampled_p, MONTE_CARLO_DRAWS)
    step = max(1, CHUNK_SIZE // patterns)
    blocks = [
        test(rows[start : start + step], two_sided=alternative == "two-sided")
        for start in range(0, len(rows), step)
    ]
    return np.concatenate(blocks) if blocks else np.empty(0)


def _threshold(rows: Floats, *, two_sided: bool) -> Floats:
    """Return the least sum that counts as extreme, (rows, 1); rounding does not break ties."""
    observed = rows.sum(axis=1, keepdims=True)
    scale = np.abs(rows).sum(axis=1, keepdims=True)
    return (np.abs(observed) if two_sided else observed) - ROUNDING_TOLERANCE * scale


def _exact_p(rows: Floats, *, two_sided: bool) -> Floats:
    threshold = _threshold(rows, two_sided=two_sided)
    # The first sign stays fixed: the other half of the patterns has the sums -sums.
    sums = rows[:, :1]
    for column in rows.T[1:]:
        sums = np.concatenate([sums + column[:, None], sums - column[:, None]], axis=1)
    if two_sided:
        return (np.abs(sums) >= threshold).mean(axis=1)
    return ((sums >= threshold).mean(axis=1) + (-sums >= threshold).mean(axis=1)) / 2


def _sampled_p(rows: Floats, *, two_sided: bool) -> Floats:
    sums = rows @ _sampled_signs(rows.shape[1]).astype(float)
    extreme = (np.abs(sums) if two_sided else sums) >= _threshold(rows, two_sided=two_sided)
    return (1 + extreme.sum(axis=1)) / (1 + MONTE_CARLO_DRAWS)


@lru_cache(maxsize=1)
def _sampled_signs(n: int) -> NDArray[np.int8]:
    """Return random signs of n seeds, (n, draws); arms of one report have the same number."""
    generator = np.random.default_rng(MONTE_CARLO_SEED)
    signs = generator.choice([-1.0, 1.0], size=(n, MONTE_CARLO_DRAWS)).astype(np.int8)
    signs.setflags(write=False)
    return signs


def least_sign_flip_p(n: int) -> float:
    """Return the smallest two-sided p-value of n differences: 2 / 2^n, or 1 / 20 000 if sampled."""
    return 2.0 ** (1 - n) if n <= EXACT_UP_TO else 1 / (1 + MONTE_CARLO_DRAWS)
