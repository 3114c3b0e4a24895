"""Causal self-attention; MHA, GQA and MQA are one class and a number.

Legend: batch, time, d_model; n_heads query heads share n_kv_heads key and value heads of width
d_head.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.config import Position
from experiments.nn.position import rotary_tables, rotate


class Attention(nn.Module):
    """Softmax attention over earlier positions, by torch's scaled_dot_product_attention.

    `n_kv_heads == n_heads` is multi-head (Vaswani 2017), 1 multi-query (Shazeer 2019), and numbers
    between are grouped-query attention (Ainslie 2023): key head j serves the n_heads / n_kv_heads
    neighbouring query heads from j * n_heads / n_kv_heads. Dropout acts on the attention weights.
    Sinusoidal positions are added to the model's input, so here they do nothing.
    """

    def __init__(
        self,
        d_model: int,
        *,
        n_heads: int,
        n_kv_heads: int,
        bias: bool = False,
        dropout: float = 0.0,
        position: Position = Position.rotary,
    ) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model={d_model} must be a multiple of n_heads={n_heads}")
        if n_heads % n_kv_heads:
            raise ValueError(f"n_heads={n_heads} must be a multiple of n_kv_heads={n_kv_heads}")
        d_head = d_model // n_heads
        if position is Position.rotary and d_head % 2:
            raise ValueError(
                f"d_model={d_model} / n_heads={n_heads} is {d_head}: rotary needs an even head size"
            )
        self.n_heads, self.n_kv_heads, self.d_head = n_heads, n_kv_heads, d_head
        self.dropout, self.position = dropout, position
        # Three matrices and not a fused one: names and shapes then agree between MHA and GQA.
        self.query = nn.Linear(d_model, n_heads * d_head, bias=bias)
        self.key = nn.Linear(d_model, n_kv_heads * d_head, bias=bias)
        self.value = nn.Linear(d_model, n_kv_heads * d_head, bias=bias)
        self.out = nn.Linear(n_heads * d_head, d_model, bias=bias)

    def forward(
        self, x: Float[Tensor, "batch time d_model"], keep: Bool[Tensor, "batch time"] | None = None
    ) -> Float[Tensor, "batch time d_model"]:
        """Attend to the positions up to one's own where `keep` is True (None: all are)."""
        query = self._heads(self.query(x))
        key = self._heads(self.key(x))
        value = self._heads(self.value(x))  # (B, H_kv, T, d_head)
        if self.position is Position.rotary:
            cos, sin = rotary_tables(x.shape[1], self.d_head, device=x.device)
            query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        mixed = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=None if keep is None else causal_mask(keep),
            is_causal=keep is None,
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=self.n_kv_heads != self.n_heads,
        )
        return self.out(mixed.transpose(1, 2).flatten(2))  # (B, T, d_model)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.d_head)).transpose(1, 2)


def causal_mask(keep: Bool[Tensor, "batch time"]) -> Bool[Tensor, "batch 1 time time"]:
    """True where a query (row) may see a key (column): earlier or its own, and kept.

    Every position sees itself, padding too: a row without a key would be a softmax over nothing,
    NaN.
    """
    time = keep.shape[1]
    causal = torch.ones(time, time, dtype=torch.bool, device=keep.device).tril()
    own = torch.eye(time, dtype=torch.bool, device=keep.device)
    return ((causal & keep[:, None, :]) | own)[:, None]
