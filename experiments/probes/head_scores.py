"""Scores of attention heads, for every query at once: how broad, how far, and at which offset a head looks.

Legend: batch, n_heads, time; lags, how far back of a query a key lies (0 is the query's own position).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from experiments.probes.attention_weights import logit_blocks, weights


class RowScores(NamedTuple):
    """Scores of each query; the leading axes are those of the weights, e.g. (batch, n_heads, time).

    Attributes:
        entropy: -sum_j p_j ln p_j in nats; the log of the number of valid keys where a head looks at all of them alike.
        distance: sum_j p_j (t - j), positions.
        shares: p at t - lag, on a first axis of lags; 0 where there is no such key.
    """

    entropy: Tensor
    distance: Tensor
    shares: Tensor


def row_scores(
    query: Tensor, key: Tensor, keep: Tensor | None, lags: Sequence[int], *, block: int
) -> RowScores:
    """Scores of all heads, from blocks of queries whose weights are never kept: O(length) memory.

    Queries and keys are those of `queries_keys`. With s the logits less their maximum, e = exp(s) and z = sum e, the entropy
    is ln z - sum e s / z: no logarithm of a weight, so a weight of 0 needs no care.
    """
    batch, n_heads, time, _ = query.shape
    entropy, distance = query.new_empty(2, batch, n_heads, time)
    shares = query.new_zeros(len(lags), batch, n_heads, time)
    position = torch.arange(time, device=query.device)
    # Each row's sum and its mean position, by one product.
    moments = torch.stack([torch.ones_like(position), position], dim=1).to(query.dtype)
    for first, logits in logit_blocks(query, key, keep, block=block):
        end = logits.shape[-1]
        logits.sub_(logits.amax(dim=-1, keepdim=True))
        unscaled = logits.exp()
        total, place = (unscaled @ moments[:end]).unbind(-1)
        rows = slice(first, end)
        entropy[..., rows] = total.log() - logits.mul_(unscaled).sum(-1) / total
        distance[..., rows] = position[rows] - place / total
        for share, lag in zip(shares, lags, strict=True):
            at = unscaled.diagonal(first - lag, -2, -1)  # the queries that have such a key
            share[..., end - at.shape[-1] : end] = at / total[..., total.shape[-1] - at.shape[-1] :]
    return RowScores(entropy, distance, shares)


def naive_row_scores(
    query: Tensor, key: Tensor, keep: Tensor | None, lags: Sequence[int]
) -> RowScores:
    """The same from the whole matrix of weights, by the definitions; the oracle of `row_scores`."""
    return scores_of(weights(query, key, keep), lags)


def scores_of(weights: Tensor, lags: Sequence[int]) -> RowScores:
    """Scores of given causal weights (..., time, time)."""
    time = weights.shape[-1]
    position = torch.arange(time, device=weights.device)
    back = (position[:, None] - position).to(weights.dtype)
    at = [(weights * (back == lag)).sum(-1) for lag in lags]
    return RowScores(
        torch.special.entr(weights).sum(-1), (weights * back).sum(-1), torch.stack(at)
    )


def uniform_scores(keep: Tensor, lags: Sequence[int]) -> RowScores:
    """What causal attention scores that spreads evenly over valid keys, from `keep` (batch, time) alone; 0 at padding."""
    position = torch.arange(keep.shape[1], device=keep.device)
    n = valid_keys(keep)
    mean_place = (keep * position).cumsum(1) / n
    at = [keep.roll(lag, 1) * (position >= lag) / n for lag in lags]
    return RowScores(n.log() * keep, (position - mean_place) * keep, torch.stack(at) * keep)


def valid_keys(keep: Tensor) -> Tensor:
    """How many keys each query (batch, time) may see, at least 1, as float32."""
    return keep.cumsum(1).clamp(min=1).float()
