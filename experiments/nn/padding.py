"""The padding mask that modules take: True at kept positions, False at padding.

Legend of shapes: batch; keys, the positions that the mask covers.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def check_padding_mask(keep: Tensor | None, shape: tuple[int, int]) -> None:
    """Check a padding mask; None means no padding.

    Raises:
        ValueError: the mask is not a tensor of bools, or its shape is not `shape`, (batch, keys).
    """
    if keep is None:
        return
    # torch adds a mask of other numbers to the scores instead of hiding keys.
    if keep.dtype != torch.bool:
        raise ValueError(
            f"keep is of {keep.dtype}; it must be of bools, True at kept positions: use keep.bool()"
        )
    if keep.shape != shape:
        raise ValueError(f"keep has the shape {tuple(keep.shape)}; it must be {tuple(shape)}")


def position_ids(keep: Bool[Tensor, "batch keys"]) -> Int[Tensor, "batch keys"]:
    """Return the index of each position among the kept ones, from 0.

    Padding on the left then shifts no position. Padding itself has the index of the kept position
    before it, or 0.
    """
    return (keep.cumsum(dim=1) - 1).clamp(min=0)
