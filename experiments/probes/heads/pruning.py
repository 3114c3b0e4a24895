"""How many heads can go, in which order, before a model does worse.

An order is a list of heads, the one that goes first ahead. Heads that have gone are mean-ablated,
see `experiments.probes.heads.ablation`, all at once and without training on.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite, nan
from statistics import fmean

import numpy as np
from torch import Tensor, nn

from experiments.probes.heads.ablation import Head, ModelMetric, ablate_heads, all_heads

TOLERANCE = 0.01
"""What may be lost of a share, e.g. of an accuracy."""

ORDERS = ("taylor", "random", "entropy", "reversed")
"""The names of the orders."""

Scores = Sequence[Sequence[float]]


def removal_orders(
    model: nn.Module, *, taylor: Scores, entropy: Scores, n_random: int, seed: int
) -> dict[str, list[list[Head]]]:
    """The orders by name, `random` with as many as asked for.

    taylor goes from the least important head to the most, reversed the other way, entropy from the
    broadest head to the sharpest.
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
    """`measure` of the model without the first 0, 1, ... all heads of the order."""
    values = []
    for n in range(len(order) + 1):
        with ablate_heads(model, set(order[:n]), means):
            values.append(measure(model))
    return values


def prunable_share(values: Sequence[float]) -> float:
    """The share of heads that go before more than TOLERANCE is lost for the first time.

    A curve that comes back later does not count. TOLERANCE is absolute, where Michel et al. 2019
    speak of a relative loss of BLEU. NaN where a value is NaN.
    """
    if not all(map(isfinite, values)):
        return nan
    bound = values[0] - TOLERANCE - 1e-9
    n_kept = next((n for n, value in enumerate(values) if value < bound), len(values)) - 1
    return n_kept / (len(values) - 1)


def area_under_curve(values: Sequence[float]) -> float:
    """The area under a curve over the share of heads that have gone, by the trapezoidal rule."""
    return fmean((before + after) / 2 for before, after in pairwise(values))


def mean_curve_rows(
    curves: Mapping[str, Sequence[Sequence[float]]],
) -> list[dict[str, float | str]]:
    """A row for each order and number of heads, with the mean of the orders of one name."""
    rows: list[dict[str, float | str]] = []
    for name, several in curves.items():
        mean = np.mean(several, axis=0)
        rows += [
            {"order": name, "removed": round(n / (len(mean) - 1), 6), "accuracy": float(value)}
            for n, value in enumerate(mean)
        ]
    return rows
