"""Normalised mutual information of two discrete variables, from their table of counts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mutual_information_share(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return the plug-in estimate of 2 I(a; b) / (H(a) + H(b)) for tables (..., a, b) of counts.

    It is 0 for independent variables and 1 for a one-to-one relation, as is scikit-learn's
    normalized_mutual_info_score. It is 0 where neither variable varies, and NaN where a table is
    empty or has NaN.

    On a finite sample it is biased upwards, more so with many rare values. So compare it with its
    value under permutations. The raw value minus the mean of such a null is not the adjusted mutual
    information, which also divides by the largest possible difference. Where the null is large, as
    with many experts, less difference is possible.
    """
    total = counts.sum(axis=(-2, -1))
    joint = _entropy(counts.reshape(*counts.shape[:-2], -1), total)
    marginals = _entropy(counts.sum(axis=-1), total) + _entropy(counts.sum(axis=-2), total)
    information = marginals - joint
    if_constant = np.where(np.isfinite(marginals), 0.0, np.nan)
    return np.divide(2 * information, marginals, out=if_constant, where=marginals > 0)


def _entropy(counts: NDArray[Any], total: NDArray[Any]) -> NDArray[np.float64]:
    """Return the entropy over the last axis in nats, as log n - sum c log c / n."""
    weighted = counts * np.log(np.maximum(counts, 1))
    total = np.where(total > 0, total, np.nan)
    return np.asarray(np.log(total) - weighted.sum(axis=-1) / total)
