"""The cache of one attention layer's keys and values, for decoding token by token.

Legend of shapes:
    batch: sequences.
    n_kv_heads: key heads of the layer, which can be fewer than query heads.
    capacity: the most positions that fit.
    length: positions that are filled.
    time: positions of one call.
    d_head: width of a head.
"""

import torch
from jaxtyping import Float
from torch import Tensor


class KVCache:
    """Keys and values of earlier positions in two preallocated tensors.

    `append` writes into these tensors and returns views, so earlier positions are never copied.

    Attributes:
        keys, values: (batch, n_kv_heads, capacity, d_head), of which `length` positions are filled.
        length: the filled positions.
    """

    def __init__(
        self,
        batch: int,
        n_kv_heads: int,
        capacity: int,
        d_head: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> None:
        shape = (batch, n_kv_heads, capacity, d_head)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0

    @property
    def capacity(self) -> int:
        """The most positions that fit."""
        return self.keys.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes of the two tensors, filled or not."""
        return sum(x.numel() * x.element_size() for x in (self.keys, self.values))

    def append(
        self,
        key: Float[Tensor, "batch n_kv_heads time d_head"],
        value: Float[Tensor, "batch n_kv_heads time d_head"],
    ) -> tuple[
        Float[Tensor, "batch n_kv_heads length d_head"],
        Float[Tensor, "batch n_kv_heads length d_head"],
    ]:
        """Append keys and values of new positions and return views of all positions so far.

        Raises:
            ValueError: the new positions do not fit, or the shapes differ from those of the cache.
        """
        n_new = key.shape[2]
        if self.length + n_new > self.capacity:
            raise ValueError(
                f"the cache holds {self.length} of {self.capacity} positions; "
                f"{n_new} more do not fit"
            )
        if key.shape[:2] != self.keys.shape[:2] or key.shape[3] != self.keys.shape[3]:
            raise ValueError(
                f"keys of shape {tuple(key.shape)} do not fit a cache of shape "
                f"{tuple(self.keys.shape)}"
            )
        end = self.length + n_new
        self.keys[:, :, self.length : end] = key
        self.values[:, :, self.length : end] = value
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]
