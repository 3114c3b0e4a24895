"""Mutual information of two discrete variables, from their table of counts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mutual_information_share(counts: NDArray[Any]) -> NDArray[np.float64]:
    """2 I(a; b) / (H(a) + H(b)) of tables (..., a, b), plug-in estimate; 0 where nothing varies.

    0 for independent variables, 1 for a one-to-one relation (scikit-learn's
    normalized_mutual_info_score). NaN where a table is empty or holds NaN. On a finite sample it is
    biased upwards, more so with many rare values: compare it with its value under permutations.
    Raw minus the mean of a null is not the adjusted mutual information, which also divides by the
    largest possible value minus the null: where the null is large, as with more experts, there is
    less left to reach.
    """
    total = counts.sum(axis=(-2, -1))
    joint = _entropy(counts.reshape(*counts.shape[:-2], -1), total)
    marginals = _entropy(counts.sum(axis=-1), total) + _entropy(counts.sum(axis=-2), total)
    information = marginals - joint
    nothing = np.where(np.isfinite(marginals), 0.0, np.nan)
    return np.divide(2 * information, marginals, out=nothing, where=marginals > 0)


def _entropy(counts: NDArray[Any], total: NDArray[Any]) -> NDArray[np.float64]:
    """In nats, over the last axis: log n - sum c log c / n, which takes one logarithm a cell."""
    weighted = counts * np.log(np.maximum(counts, 1))
    total = np.where(total > 0, total, np.nan)
    return np.asarray(np.log(total) - weighted.sum(axis=-1) / total)
