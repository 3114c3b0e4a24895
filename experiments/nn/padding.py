"""The mask of padding that modules take: True at positions that are kept.

Legend: batch; keys, the positions that the mask is about.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def check_padding_mask(keep: Tensor | None, shape: tuple[int, int]) -> None:
    """Check a mask of padding, or None for no padding.

    Raises:
        ValueError: it is not of bools, so that it would be added or multiplied where it is to
            choose; or its shape is not `shape`, (batch, keys).
    """
    if keep is None:
        return
    if keep.dtype != torch.bool:
        raise ValueError(
            f"keep is of {keep.dtype} and must be of bools, True at kept positions: use keep.bool()"
        )
    if keep.shape != shape:
        raise ValueError(f"keep has the shape {tuple(keep.shape)} and must have {tuple(shape)}")


def position_ids(keep: Bool[Tensor, "batch keys"]) -> Int[Tensor, "batch keys"]:
    """Count kept positions from 0, so that padding on the left moves nothing.

    Padding has the place of the kept position before it, or 0.
    """
    return (keep.cumsum(dim=1) - 1).clamp(min=0)
