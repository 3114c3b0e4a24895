"""Softmax attention as a function of queries, keys and values: three kernels, one signature.

Legend: batch; n_heads query heads share n_kv_heads key and value heads, neighbours the same one;
time, positions of queries; source, positions of keys; d_head.
"""

from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from experiments.nn.kernels.shapes import check, hidden, visible
from experiments.nn.kernels.tiled import tiled


class AttentionKernel(Protocol):
    """What the kernels share: softmax(scale * query key' where visible) value, without dropout.

    `mask` is True where a query (its last axis but one) sees a key (its last), and is broadcast
    over (batch, n_heads, time, source); `causal` hides the keys after a query too, both counted
    from their first position. A query that sees nothing gives zeros, and no gradients. `scale` is
    1 / sqrt(d_head) where it is None. Keys and values are never repeated for the heads that share
    them.

    Raises:
        ValueError: n_kv_heads does not divide n_heads, or the mask does not fit.
    """

    def __call__(
        self,
        query: Float[Tensor, "batch n_heads time d_head"],
        key: Float[Tensor, "batch n_kv_heads source d_head"],
        value: Float[Tensor, "batch n_kv_heads source d_head"],
        *,
        mask: Bool[Tensor, "..."] | None = None,
        causal: bool = False,
        scale: float | None = None,
    ) -> Float[Tensor, "batch n_heads time d_head"]: ...


def naive(
    query: Float[Tensor, "batch n_heads time d_head"],
    key: Float[Tensor, "batch n_kv_heads source d_head"],
    value: Float[Tensor, "batch n_kv_heads source d_head"],
    *,
    mask: Bool[Tensor, "..."] | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "batch n_heads time d_head"]:
    """The formula as written, with the whole matrix of weights in memory: the oracle of the others.

    No slower than it need be: queries are scaled and not scores, masks are filled in place. Without
    gradients it holds one matrix (batch, n_heads, time, source); with them two at once in the
    forward, one between, and three in the backward. The arguments are those of `AttentionKernel`.
    """
    check(query, key, value, mask)
    batch, n_heads, time, d_head = query.shape
    n_kv_heads, source = key.shape[1:3]
    scale = d_head**-0.5 if scale is None else scale
    rows = (query * scale).reshape(batch, n_kv_heads, -1, d_head)  # the heads of a group as rows
    scores = rows @ key.mT
    if n_kv_heads != n_heads:  # else no view: autograd copies the gradient of one that is filled
        scores = scores.view(batch, n_heads, time, source)
    unseen = hidden(mask, time, source, causal=causal, device=query.device)
    if unseen is not None:
        # Not -inf, whose softmax is NaN in a row that sees nothing.
        scores.masked_fill_(unseen, torch.finfo(scores.dtype).min)
    # In place where autograd has no use for the scores.
    weights = torch.softmax(scores, -1, out=None if scores.requires_grad else scores)
    mixed = (weights.view(batch, n_kv_heads, -1, source) @ value).view(query.shape)
    if mask is not None and unseen is not None:
        mixed = mixed.masked_fill(unseen.all(-1, keepdim=True), 0.0)
    return mixed


def fused(
    query: Float[Tensor, "batch n_heads time d_head"],
    key: Float[Tensor, "batch n_kv_heads source d_head"],
    value: Float[Tensor, "batch n_kv_heads source d_head"],
    *,
    mask: Bool[Tensor, "..."] | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "batch n_heads time d_head"]:
    """PyTorch's scaled_dot_product_attention, which chooses the fastest kernel of its own.

    The arguments are those of `AttentionKernel`.
    """
    check(query, key, value, mask)
    grouped = query.shape[1] != key.shape[1]
    if mask is None:
        return F.scaled_dot_product_attention(
            query, key, value, is_causal=causal, scale=scale, enable_gqa=grouped
        )
    seen = visible(mask, query.shape[2], key.shape[2], causal=causal, device=query.device)
    assert seen is not None
    # torch takes either a mask or causal, and leaves open what a row without a key gives.
    blind = ~seen.any(-1, keepdim=True)
    mixed = F.scaled_dot_product_attention(
        query, key, value, attn_mask=seen | blind, scale=scale, enable_gqa=grouped
    )
    return mixed.masked_fill(blind, 0.0)


KERNELS: dict[str, AttentionKernel] = {"naive": naive, "tiled": tiled, "fused": fused}
