"""Keys and values of one attention layer, kept while tokens are decoded one after the other.

Legend: batch; n_kv_heads, as many as the layer has key heads (not query heads); capacity, the
longest sequence; d_head.
"""

import torch
from jaxtyping import Float
from torch import Tensor


class KVCache:
    """Preallocated once; `append` returns views of all that is valid, so nothing is copied."""

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
        """The longest sequence that fits."""
        return self.keys.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes that the two tensors hold, asked from the tensors."""
        return sum(x.numel() * x.element_size() for x in (self.keys, self.values))

    def append(
        self,
        key: Float[Tensor, "batch n_kv_heads time d_head"],
        value: Float[Tensor, "batch n_kv_heads time d_head"],
    ) -> tuple[
        Float[Tensor, "batch n_kv_heads length d_head"],
        Float[Tensor, "batch n_kv_heads length d_head"],
    ]:
        """Add the keys and values of new positions; views of all positions so far.

        Raises:
            ValueError: the cache is full, or the shapes are not those it was made for.
        """
        new = key.shape[2]
        if self.length + new > self.capacity:
            raise ValueError(
                f"the cache holds {self.length} of {self.capacity} positions; {new} more do not fit"
            )
        if key.shape[:2] != self.keys.shape[:2] or key.shape[3] != self.keys.shape[3]:
            raise ValueError(
                f"keys of shape {tuple(key.shape)} do not fit a cache of shape "
                f"{tuple(self.keys.shape)}"
            )
        end = self.length + new
        self.keys[:, :, self.length : end] = key
        self.values[:, :, self.length : end] = value
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]
