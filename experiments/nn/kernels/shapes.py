"""What attention kernels take, checked once for all of them.

Legend: batch; n_heads query heads share n_kv_heads key and value heads, neighbours the same one;
time, positions of queries; source, positions of keys; d_head.
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
            f"{tuple(value.shape)}; keys and values must agree, and all in batch and d_head"
        )
    batch, n_heads, time, _ = query.shape
    n_kv_heads, source = key.shape[1:3]
    if not time or not source:
        raise ValueError(f"time={time} and source={source} must both be at least 1")
    if n_heads % n_kv_heads:
        raise ValueError(f"n_heads={n_heads} must be a multiple of n_kv_heads={n_kv_heads}")
    if mask is not None:
        if mask.dtype != torch.bool:
            raise ValueError(f"a mask of {mask.dtype} must be of bools, True at keys that are seen")
        whole = (batch, n_heads, time, source)
        try:
            fits = torch.broadcast_shapes(mask.shape, whole) == whole
        except RuntimeError:
            fits = False
        if not fits:
            raise ValueError(
                f"a mask of shape {tuple(mask.shape)} does not fit (batch, n_heads, time, source)="
                f"{whole}; each of its dimensions must be that or 1"
            )


def visible_mask(
    mask: Bool[Tensor, "..."] | None,
    time: int,
    source: int,
    *,
    causal: bool,
    device: torch.device,
) -> Bool[Tensor, "..."] | None:
    """Which keys (last axis) a query (the axis before) sees by `mask` and by order; None: all.

    Order counts both from their first position: query i sees the keys 0 .. i, also where there are
    more or fewer keys than queries.
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
    """The opposite of `visible_mask`, made without it; None: nothing is hidden."""
    if not causal:
        return None if mask is None else ~mask
    future = torch.ones(time, source, dtype=torch.bool, device=device).triu_(1)
    return future if mask is None else future | ~mask
