"""Softmax attention as a function of queries, keys and values: three kernels, one signature.

Legend of shapes:
    batch: sequences.
    n_heads: query heads.
    n_kv_heads: key and value heads. Neighbouring query heads share one.
    time: positions of queries.
    source: positions of keys and values.
    d_head: width of a head.
"""

from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from experiments.nn.kernels.shapes import check_kernel_inputs, hidden_mask, visible_mask
from experiments.nn.kernels.tiled import tiled_attention


class AttentionKernel(Protocol):
    """The signature of the kernels: softmax(scale * query key') value over visible keys.

    There is no dropout. A query without a visible key gives zeros, and no gradients. Keys and
    values are not repeated for the query heads that share them.

    Args:
        query, key, value: see the legend for shapes.
        mask: True where a query (axis -2) sees a key (axis -1); broadcast to (batch, n_heads, time,
            source). None: every query sees every key.
        causal: also hide the keys after a query. Both are counted from their first position.
        scale: the factor on scores; None: 1 / sqrt(d_head).

    Raises:
        ValueError: shapes do not match, n_kv_heads does not divide n_heads, or the mask cannot be
            broadcast.
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


def naive_attention(
    query: Float[Tensor, "batch n_heads time d_head"],
    key: Float[Tensor, "batch n_kv_heads source d_head"],
    value: Float[Tensor, "batch n_kv_heads source d_head"],
    *,
    mask: Bool[Tensor, "..."] | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "batch n_heads time d_head"]:
    """Return attention by its formula, with all weights in memory: the reference of the others.

    The arguments are those of `AttentionKernel`. It avoids needless work: it scales queries instead
    of scores, and fills masks in place. Its memory, in matrices (batch, n_heads, time, source):
    - without gradients 1;
    - with gradients 2 in the forward pass, 1 between the passes, 3 in the backward pass.
    """
    check_kernel_inputs(query, key, value, mask)
    batch, n_heads, time, d_head = query.shape
    n_kv_heads, source = key.shape[1:3]
    scale = d_head**-0.5 if scale is None else scale
    # The query heads of a group become rows of one product, so their keys are not repeated.
    rows = (query * scale).reshape(batch, n_kv_heads, -1, d_head)
    scores = rows @ key.mT
    # A view only if needed: autograd copies the gradient of a view that is filled in place.
    if n_kv_heads != n_heads:
        scores = scores.view(batch, n_heads, time, source)
    hidden = hidden_mask(mask, time, source, causal=causal, device=query.device)
    if hidden is not None:
        # The smallest number, not -inf: the softmax of a row of -inf is NaN.
        scores.masked_fill_(hidden, torch.finfo(scores.dtype).min)
    # In place if autograd does not need the scores.
    weights = torch.softmax(scores, -1, out=None if scores.requires_grad else scores)
    mixed = (weights.view(batch, n_kv_heads, -1, source) @ value).view(query.shape)
    # Causal order never hides all keys of a query, so only a mask can.
    if mask is not None and hidden is not None:
        mixed = mixed.masked_fill(hidden.all(-1, keepdim=True), 0.0)
    return mixed


def fused_attention(
    query: Float[Tensor, "batch n_heads time d_head"],
    key: Float[Tensor, "batch n_kv_heads source d_head"],
    value: Float[Tensor, "batch n_kv_heads source d_head"],
    *,
    mask: Bool[Tensor, "..."] | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "batch n_heads time d_head"]:
    """Return torch's scaled_dot_product_attention, which chooses among kernels of its own.

    The arguments are those of `AttentionKernel`.
    """
    check_kernel_inputs(query, key, value, mask)
    grouped = query.shape[1] != key.shape[1]
    if mask is None:
        return F.scaled_dot_product_attention(
            query, key, value, is_causal=causal, scale=scale, enable_gqa=grouped
        )
    # torch accepts either a mask or is_causal, so the mask has to include the causal order.
    visible = visible_mask(mask, query.shape[2], key.shape[2], causal=causal, device=query.device)
    assert visible is not None
    # torch does not define the result of a row without a key. Such a row sees all keys here, and
    # its result is replaced by 0.
    has_no_key = ~visible.any(-1, keepdim=True)
    mixed = F.scaled_dot_product_attention(
        query, key, value, attn_mask=visible | has_no_key, scale=scale, enable_gqa=grouped
    )
    return mixed.masked_fill(has_no_key, 0.0)


KERNELS: dict[str, AttentionKernel] = {
    "naive": naive_attention,
    "tiled": tiled_attention,
    "fused": fused_attention,
}
