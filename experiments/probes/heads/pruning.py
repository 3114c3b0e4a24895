"""Pruning curves: the accuracy of a model as its heads are removed one after another.

An order is a list of heads, from the first to the last to be removed. Removed heads are
mean-ablated together (`experiments.probes.heads.ablation`), without further training.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite, nan
from statistics import fmean

import numpy as np
from torch import Tensor, nn

from experiments.probes.heads.ablation import Head, ModelMetric, ablate_heads, all_heads

TOLERANCE = 0.01
"""The loss of accuracy that still counts as no loss."""

ORDERS = ("taylor", "random", "entropy", "reversed")
"""The names of the orders."""

Scores = Sequence[Sequence[float]]


def removal_orders(
    model: nn.Module, *, taylor: Scores, entropy: Scores, n_random: int, seed: int
) -> dict[str, list[list[Head]]]:
    """Return the orders by name; `random` has `n_random` orders, and the others one each.

    `taylor` is from the least to the most important head, `reversed` the opposite, and `entropy`
    from the largest to the smallest entropy.
    """
    heads = all_heads(model)
    importance = {head: taylor[head[0]][head[1]] for head in heads}
    breadth = {head: entropy[head[0]][head[1]] for head in heads}
    by_importance = sorted(heads, key=importance.__getitem__)
    draws = [np.random.default_rng([seed, n]).permutation(len(heads)) for n in range(n_random)]
    return {
        "taylor": [by_importance],
        "random": [[heads[index] for index in draw] for draw in draws],
        "entropy": [sorted(heads, key=breadth.__getitem__, reverse=True)],
        "reversed": [by_importance[::-1]],
    }


def pruning_curve(
    model: nn.Module, measure: ModelMetric, means: Sequence[Tensor], order: Sequence[Head]
) -> list[float]:
    """Return `measure` of the model with the first 0, 1, ... and all heads of the order removed."""
    values = []
    for n in range(len(order) + 1):
        with ablate_heads(model, set(order[:n]), means):
            values.append(measure(model))
    return values


def prunable_share(values: Sequence[float]) -> float:
    """Return the share of heads that can be removed until the loss first exceeds TOLERANCE.

    Later recoveries do not count. TOLERANCE is absolute, while Michel et al. 2019 report a relative
    loss of BLEU. The result is NaN if a value is.
    """
    if not all(map(isfinite, values)):
        return nan
    bound = values[0] - TOLERANCE - 1e-9
    n_removed = next((n for n, value in enumerate(values) if value < bound), len(values)) - 1
    return n_removed / (len(values) - 1)


def area_under_curve(values: Sequence[float]) -> float:
    """Return the area under a curve over the share of removed heads, by the trapezoidal rule."""
    return fmean((before + after) / 2 for before, after in pairwise(values))


def mean_curve_rows(
    curves: Mapping[str, Sequence[Sequence[float]]],
) -> list[dict[str, float | str]]:
    """Return a row for each name and share of removed heads, with the mean over its curves."""
    rows: list[dict[str, float | str]] = []
    for name, of_name in curves.items():
        mean = np.mean(of_name, axis=0)
        rows += [
            {"order": name, "removed": round(n / (len(mean) - 1), 6), "accuracy": float(value)}
            for n, value in enumerate(mean)
        ]
    return rows
