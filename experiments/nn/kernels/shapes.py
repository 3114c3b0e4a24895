"""The checks of an attention kernel's inputs, and the masks of visible and hidden keys.

Legend of shapes:
    batch: sequences.
    n_heads: query heads.
    n_kv_heads: key and value heads. Neighbouring query heads share one.
    time: positions of queries.
    source: positions of keys and values.
    d_head: width of a head.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def check_kernel_inputs(
    query: Float[Tensor, "batch n_heads time d_head"],
    key: Float[Tensor, "batch n_kv_heads source d_head"],
    value: Float[Tensor, "batch n_kv_heads source d_head"],
    mask: Bool[Tensor, "..."] | None,
) -> None:
    """Raise ValueError where shapes, head counts or the mask do not fit."""
    if value.shape != key.shape or query.shape[::3] != key.shape[::3]:
        raise ValueError(
            f"query, key, value have the shapes {tuple(query.shape)}, {tuple(key.shape)}, "
            f"{tuple(value.shape)}; key and value must be equal, and all in batch and d_head"
        )
    batch, n_heads, time, _ = query.shape
    n_kv_heads, source = key.shape[1:3]
    if not time or not source:
        raise ValueError(f"time={time} and source={source} must both be at least 1")
    if n_heads % n_kv_heads:
        raise ValueError(f"n_heads={n_heads} must be a multiple of n_kv_heads={n_kv_heads}")
    if mask is not None:
        if mask.dtype != torch.bool:
            raise ValueError(
                f"the mask is of {mask.dtype}; it must be of bools, True at visible keys"
            )
        whole = (batch, n_heads, time, source)
        try:
            fits = torch.broadcast_shapes(mask.shape, whole) == whole
        except RuntimeError:
            fits = False
        if not fits:
            raise ValueError(
                f"a mask of shape {tuple(mask.shape)} does not fit (batch, n_heads, time, source)="
                f"{whole}; each of its dimensions must have this size or 1"
            )


def visible_mask(
    mask: Bool[Tensor, "..."] | None,
    time: int,
    source: int,
    *,
    causal: bool,
    device: torch.device,
) -> Bool[Tensor, "..."] | None:
    """Return a mask that is True where a query (axis -2) sees a key (axis -1); None: all keys.

    With `causal`, query i sees the keys 0 to i, for any numbers of keys and queries.
    """
    if not causal:
        return mask
    past = torch.ones(time, source, dtype=torch.bool, device=device).tril()
    return past if mask is None else mask & past


def hidden_mask(
    mask: Bool[Tensor, "..."] | None,
    time: int,
    source: int,
    *,
    causal: bool,
    device: torch.device,
) -> Bool[Tensor, "..."] | None:
    """Return the opposite of `visible_mask`, without computing that; None: all keys are visible."""
    if not causal:
        return None if mask is None else ~mask
    future = torch.ones(time, source, dtype=torch.bool, device=device).triu_(1)
    return future if mask is None else future | ~mask
