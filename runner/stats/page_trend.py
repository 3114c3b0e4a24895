"""Page's exact test (1963) for a trend over ordered levels, within blocks.

A block is a seed, its values are ranked over the k levels, and L = sum over blocks and levels of
level number x rank. Under the null all orders of a block are as likely, so the distribution of L is
that of a sum of independent blocks: enumerated for one block, convolved over all. Ties get the mean
of their ranks, and the distribution is then that of the ties at hand.
"""

import itertools
from functools import lru_cache
from math import factorial

import numpy as np
from numpy.typing import ArrayLike

from runner.stats.intervals import Floats

MOST_LEVELS = 8  # 8! = 40320 orders of a block
MOST_BLOCKS = 20


def page_p(table: ArrayLike) -> tuple[float, float]:
    """One-sided p-values (rising, falling) over the levels of `table`, (blocks, levels).

    ValueError for fewer than 3 or more than 8 levels, more than 20 blocks, or values that are not
    finite.
    """
    values = np.asarray(table, dtype=float)
    if values.ndim != 2 or not 3 <= values.shape[1] <= MOST_LEVELS:
        raise ValueError(f"Page's test needs 3 to {MOST_LEVELS} levels, got shape {values.shape}.")
    if not 1 <= len(values) <= MOST_BLOCKS:
        raise ValueError(f"Page's test is exact for 1 to {MOST_BLOCKS} blocks, got {len(values)}.")
    if not np.isfinite(values).all():
        raise ValueError("Values must be finite; clip diverged trials.")
    ranks = np.array([_twice_ranks(row) for row in values])
    observed = int((ranks @ np.arange(1, values.shape[1] + 1)).sum())
    chances, lowest = np.ones(1), 0
    for row in ranks:
        block, least = _block(tuple(sorted(row.tolist())))
        chances, lowest = np.convolve(chances, block), lowest + least
    at = observed - lowest
    return min(1.0, float(chances[at:].sum())), min(1.0, float(chances[: at + 1].sum()))


def least_page_p(n_levels: int, n_blocks: int) -> float:
    """The smallest one-sided p-value: every block in order, without ties."""
    return float(factorial(n_levels)) ** -n_blocks


def _twice_ranks(row: Floats) -> np.ndarray:
    """Twice the ranks, with ties at their mean, which makes them whole numbers."""
    below = (row[None, :] < row[:, None]).sum(axis=1)
    same = (row[None, :] == row[:, None]).sum(axis=1)
    return np.asarray(2 * below + same + 1)


@lru_cache
def _block(ranks: tuple[int, ...]) -> tuple[Floats, int]:
    """Chances of the values of one block's L, from its lowest value on, and that value."""
    orders = np.array(list(itertools.permutations(ranks)))
    sums = orders @ np.arange(1, len(ranks) + 1)
    lowest = int(sums.min())
    return np.bincount(sums - lowest) / len(sums), lowest
