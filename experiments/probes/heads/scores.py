"""Scores of attention heads for every query: how broad, how far, at which offset they look.

Legend: batch, n_heads, time; lags, how far back of a query a key lies (0 is the query's own
position).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from experiments.probes.heads.attention_weights import logit_blocks, self_attention_weights


class RowScores(NamedTuple):
    """Scores of each query; the leading axes are those of the weights, e.g. (batch, n_heads, time).

    Attributes:
        entropy: -sum_j p_j ln p_j in nats; the log of the number of valid keys where a head looks
            at all of them alike.
        distance: sum_j p_j (t - j), positions.
        shares: p at t - lag, on a first axis of lags; 0 where there is no such key.
    """

    entropy: Tensor
    distance: Tensor
    shares: Tensor


@torch.no_grad()
def row_scores(
    query: Tensor, key: Tensor, keep: Tensor | None, lags: Sequence[int], *, block: int
) -> RowScores:
    """Scores of all heads, from blocks of queries whose weights are never kept: O(length) memory.

    Queries and keys are those of `watch`. With s the logits, p their softmax, the entropy is
    logsumexp(s) - sum p s: no logarithm of each weight, and a weight of 0 needs no care.
    logsumexp(s) = max s - ln max p, which saves a pass.
    """
    batch, n_heads, time, _ = query.shape
    entropy, distance = query.new_empty(2, batch, n_heads, time)
    shares = query.new_zeros(len(lags), batch, n_heads, time)
    position = torch.arange(time, device=query.device, dtype=query.dtype)
    buffer = query.new_empty(batch * n_heads * min(block, time) * time)
    for first, logits in logit_blocks(query, key, keep, block=block):
        end = logits.shape[-1]
        rows = slice(first, end)
        p = buffer[: logits.numel()].view(logits.shape)
        torch.softmax(logits, dim=-1, out=p)
        log_total = logits.amax(dim=-1) - p.amax(dim=-1).log()
        distance[..., rows] = position[rows] - p @ position[:end]
        for share, lag in zip(shares, lags, strict=True):
            at = p.diagonal(first - lag, -2, -1)  # of the queries that have such a key
            share[..., end - at.shape[-1] : end] = at
        entropy[..., rows] = log_total - p.mul_(logits).sum(dim=-1)
    # Rounding can leave a head that looks at one key a little below 0.
    return RowScores(entropy.clamp_(min=0), distance.clamp_(min=0), shares)


def naive_row_scores(
    query: Tensor, key: Tensor, keep: Tensor | None, lags: Sequence[int]
) -> RowScores:
    """The same from the whole matrix of weights, by the definitions: the oracle of `row_scores`."""
    return scores_from_weights(self_attention_weights(query, key, keep), lags)


def scores_from_weights(weights: Tensor, lags: Sequence[int]) -> RowScores:
    """Scores of given causal weights (..., time, time)."""
    time = weights.shape[-1]
    position = torch.arange(time, device=weights.device)
    back = (position[:, None] - position).to(weights.dtype)
    at = [(weights * (back == lag)).sum(-1) for lag in lags]
    return RowScores(torch.special.entr(weights).sum(-1), (weights * back).sum(-1), torch.stack(at))


def uniform_scores(keep: Tensor, lags: Sequence[int]) -> RowScores:
    """What causal attention scores that is even over valid keys, from `keep` (batch, time) alone.

    0 at padding.
    """
    position = torch.arange(keep.shape[1], device=keep.device)
    n = valid_keys(keep)
    mean_place = (keep * position).cumsum(1) / n
    at = [keep.roll(lag, 1) * (position >= lag) / n for lag in lags]
    return RowScores(n.log() * keep, (position - mean_place) * keep, torch.stack(at) * keep)


def valid_keys(keep: Tensor) -> Tensor:
    """How many keys each query (batch, time) may see, at least 1, as float32."""
    return keep.cumsum(1).clamp(min=1).float()
