"""Scores of attention heads for every query: entropy, distance, and weight at fixed offsets.

Legend: batch, n_heads, time; lags are the offsets back from a query to a key (0 is the query's own
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
        entropy: -sum_j p_j ln p_j in nats; even attention has the log of the number of valid keys.
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
    """Return the scores of all heads, computed for `block` queries at a time, in O(length) memory.

    `query` and `key` are those of `visit_queries_keys`, and `keep` (batch, time) or None.

    With logits s and their softmax p, the entropy is logsumexp(s) - sum p s. This formula needs no
    logarithm of each weight, and also holds for weights of 0.
    """
    # The results, filled block by block; an offset without a key keeps its 0.
    batch, n_heads, time, _ = query.shape
    entropy, distance = query.new_empty(2, batch, n_heads, time)
    shares = query.new_zeros(len(lags), batch, n_heads, time)
    position = torch.arange(time, device=query.device, dtype=query.dtype)
    # One buffer for the weights of all blocks, so that no block allocates memory.
    buffer = query.new_empty(batch * n_heads * min(block, time) * time)
    for first, logits in logit_blocks(query, key, keep, block=block):
        end = logits.shape[-1]
        rows = slice(first, end)
        p = buffer[: logits.numel()].view(logits.shape)
        torch.softmax(logits, dim=-1, out=p)
        # logsumexp(s) = max s - ln max p, which saves a pass over the logits.
        log_total = logits.amax(dim=-1) - p.amax(dim=-1).log()
        # sum_j p_j (t - j) = t - sum_j p_j j, since weights sum to 1.
        distance[..., rows] = position[rows] - p @ position[:end]
        # The weights at an offset are a diagonal; the first queries have no key so far back.
        for share, lag in zip(shares, lags, strict=True):
            diagonal = p.diagonal(first - lag, -2, -1)
            share[..., end - diagonal.shape[-1] : end] = diagonal
        # Last, because it overwrites the weights.
        entropy[..., rows] = log_total - p.mul_(logits).sum(dim=-1)
    # Rounding can make the scores of a head that looks at one key slightly negative.
    return RowScores(entropy.clamp_(min=0), distance.clamp_(min=0), shares)


def naive_row_scores(
    query: Tensor, key: Tensor, keep: Tensor | None, lags: Sequence[int]
) -> RowScores:
    """Return the same by the definitions, from the whole matrix: the oracle of `row_scores`."""
    return scores_from_weights(self_attention_weights(query, key, keep), lags)


def scores_from_weights(weights: Tensor, lags: Sequence[int]) -> RowScores:
    """Return the scores of causal weights (..., time, time)."""
    time = weights.shape[-1]
    position = torch.arange(time, device=weights.device)
    back = (position[:, None] - position).to(weights.dtype)
    shares = torch.stack([(weights * (back == lag)).sum(-1) for lag in lags])
    return RowScores(torch.special.entr(weights).sum(-1), (weights * back).sum(-1), shares)


def uniform_scores(keep: Tensor, lags: Sequence[int]) -> RowScores:
    """Return the scores (batch, time) of causal attention that is even over the valid keys.

    They depend on `keep` (batch, time) alone, and are 0 at padding.
    """
    position = torch.arange(keep.shape[1], device=keep.device)
    n = valid_keys(keep)
    mean_position = (keep * position).cumsum(1) / n
    shares = torch.stack([keep.roll(lag, 1) * (position >= lag) / n for lag in lags])
    return RowScores(n.log() * keep, (position - mean_position) * keep, shares * keep)


def valid_keys(keep: Tensor) -> Tensor:
    """Return the number of keys that each query may see, at least 1: (batch, time), float32."""
    return keep.cumsum(1).clamp(min=1).float()
