"""The exact paired permutation test: under the null, either sign of a difference is as likely.

It assumes no more than that the differences are symmetric about zero. On differences of outcomes
that are 0 or 1 it is McNemar's exact test: pairs that agree do not count.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from runner.stats.intervals import ROUNDING_TOLERANCE, Floats, check_sample

Alternative = Literal["two-sided", "greater", "less"]

EXACT_UP_TO = 20  # seeds; 2^20 sign patterns are 8 MiB
MONTE_CARLO_SEED = 0
MONTE_CARLO_DRAWS = 19_999  # p has the resolution 1 / 20 000
CHUNK_SIZE = 2**21  # sums held at a time


def sign_flip_p(differences: ArrayLike, alternative: Alternative = "two-sided") -> float:
    """P-value of the paired permutation test: the share of sign patterns as extreme as the data.

    Exact by enumeration up to 20 differences, so never below 2 / 2^n (two-sided). Above that Monte
    Carlo: 19 999 patterns of numpy's default generator with seed 0, the data counted as one more
    (Phipson and Smyth 2010, so p is never 0).
    """
    return float(sign_flip_rows(check_sample(differences, min_size=1)[None], alternative)[0])


def sign_flip_rows(differences: Floats, alternative: Alternative = "two-sided") -> Floats:
    """`sign_flip_p` of every row of an array of shape (rows, n), as an array of shape (rows,).

    A zero changes no p-value, exactly: both its signs give the same sums.
    """
    if alternative not in ("two-sided", "greater", "less"):
        raise ValueError(f"alternative={alternative!r} is none of two-sided, greater, less.")
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
    """Least sum that counts as extreme, (rows, 1); ties that rounding parted count as ties."""
    observed = rows.sum(axis=1, keepdims=True)
    scale = np.abs(rows).sum(axis=1, keepdims=True)
    return (np.abs(observed) if two_sided else observed) - ROUNDING_TOLERANCE * scale


def _exact_p(rows: Floats, *, two_sided: bool) -> Floats:
    threshold = _threshold(rows, two_sided=two_sided)
    sums = rows[:, :1]  # the first sign is fixed: the other half of the patterns is -sums
    for column in rows.T[1:]:
        sums = np.concatenate([sums + column[:, None], sums - column[:, None]], axis=1)
    if two_sided:
        return (np.abs(sums) >= threshold).mean(axis=1)
    return ((sums >= threshold).mean(axis=1) + (-sums >= threshold).mean(axis=1)) / 2


def _sampled_p(rows: Floats, *, two_sided: bool) -> Floats:
    generator = np.random.default_rng(MONTE_CARLO_SEED)
    signs = generator.choice([-1.0, 1.0], size=(rows.shape[1], MONTE_CARLO_DRAWS))
    sums = rows @ signs
    extreme = (np.abs(sums) if two_sided else sums) >= _threshold(rows, two_sided=two_sided)
    return (1 + extreme.sum(axis=1)) / (1 + MONTE_CARLO_DRAWS)


def least_sign_flip_p(n: int) -> float:
    """The smallest two-sided p-value that n differences can reach."""
    return 2.0 ** (1 - n) if n <= EXACT_UP_TO else 1 / (1 + MONTE_CARLO_DRAWS)
