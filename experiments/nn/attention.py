"""Attention; MHA, GQA and MQA are one class and a number, cross-attention is an argument.

Legend: batch, time, d_model; source, positions of a memory that is attended to; n_heads query heads
share n_kv_heads key and value heads of width d_head.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.nn.choice import check_known_name
from experiments.nn.decoding.kv_cache import KVCache
from experiments.nn.kernels.kernel import KERNELS
from experiments.nn.padding import check_padding_mask
from experiments.nn.position import rotary_tables, rotate

POSITIONS = ("rotary", "sinusoidal", "none")


class Attention(nn.Module):
    """Softmax attention by a kernel of `kernels`; a single query, as in decoding, has its own path.

    `n_kv_heads == n_heads` is multi-head (Vaswani 2017), 1 multi-query (Shazeer 2019), and numbers
    between are grouped-query attention (Ainslie 2023): key head j serves the n_heads / n_kv_heads
    neighbouring query heads from j * n_heads / n_kv_heads. Dropout acts on the attention weights.
    Sinusoidal positions are added to the model's input, so here they do nothing.

    Attributes:
        plain: how a single query is mixed, see `attend_one_query`; None, by size, unless a timing pins it.
    """

    def __init__(
        self,
        d_model: int,
        *,
        n_heads: int,
        n_kv_heads: int,
        bias: bool = False,
        dropout: float = 0.0,
        position: str = "rotary",
        kernel: str = "fused",
    ) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model={d_model} must be a multiple of n_heads={n_heads}")
        if n_heads % n_kv_heads:
            raise ValueError(f"n_heads={n_heads} must be a multiple of n_kv_heads={n_kv_heads}")
        check_known_name(POSITIONS, position=position)
        check_known_name(KERNELS, kernel=kernel)
        d_head = d_model // n_heads
        if position == "rotary" and d_head % 2:
            raise ValueError(
                f"d_model={d_model} / n_heads={n_heads} is {d_head}: rotary needs an even head size"
            )
        self.n_heads, self.n_kv_heads, self.d_head = n_heads, n_kv_heads, d_head
        self.dropout, self.position, self.kernel = dropout, position, kernel
        self.use_matmul: bool | None = None
        # Three matrices and not a fused one: names and shapes then agree between MHA and GQA.
        self.query = nn.Linear(d_model, n_heads * d_head, bias=bias)
        self.key = nn.Linear(d_model, n_kv_heads * d_head, bias=bias)
        self.value = nn.Linear(d_model, n_kv_heads * d_head, bias=bias)
        self.out = nn.Linear(n_heads * d_head, d_model, bias=bias)

    def forward(
        self,
        x: Float[Tensor, "batch time d_model"],
        keep: Bool[Tensor, "batch keys"] | None = None,
        *,
        memory: Float[Tensor, "batch source d_model"] | KVCache | None = None,
        causal: bool = True,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "batch time d_model"]:
        """Attend to the keys where `keep` is True (None: all are).

        Self-attention is causal unless `causal` is False. With a `cache`, `x` are the positions
        that follow the cached ones. With a `memory` it is cross-attention to all of it: `causal`
        and positions do not apply; `new_memory_cache` makes one whose keys and values are computed once.
        `keep` covers the keys: x's positions (with the cached ones), or the memory's. A sequence
        that may attend to no key gets zeros from the heads.

        Raises:
            ValueError: `keep` is not of bools, or does not cover the keys.
        """
        check_padding_mask(keep, (len(x), self._n_keys(x, memory, cache)))
        if memory is not None:
            query = self._heads(self.query(x))  # (B, H, T, d_head)
            key, value = (
                (memory.keys, memory.values)
                if isinstance(memory, KVCache)
                else self._keys_values(memory)
            )
            return self._mix(
                query, key, value, None if keep is None else keep[:, None, None, :], causal=False
            )
        start = cache.length if cache is not None else 0
        query, key, value = self.project(x, start=start)
        if cache is not None:
            key, value = cache.append(key, value)
        if not causal:
            return self._mix(
                query, key, value, None if keep is None else keep[:, None, None, :], causal=False
            )
        if keep is not None or (start and x.shape[1] > 1):
            ones = torch.ones(len(x), key.shape[2], dtype=torch.bool, device=x.device)
            return self._mix(
                query,
                key,
                value,
                causal_mask(ones if keep is None else keep)[:, :, start:],
                causal=False,
            )
        return self._mix(query, key, value, None, causal=x.shape[1] > 1)

    def project(
        self, x: Float[Tensor, "batch time d_model"], *, start: int = 0
    ) -> tuple[
        Float[Tensor, "batch n_heads time d_head"],
        Float[Tensor, "batch n_kv_heads time d_head"],
        Float[Tensor, "batch n_kv_heads time d_head"],
    ]:
        """What a kernel mixes: queries, keys and values of the positions from `start` on."""
        query, (key, value) = self._heads(self.query(x)), self._keys_values(x)
        if self.position == "rotary":
            cos, sin = rotary_tables(x.shape[1], self.d_head, start=start, device=x.device)
            query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        return query, key, value

    def new_memory_cache(self, memory: Float[Tensor, "batch source d_model"]) -> KVCache:
        """The keys and values of a memory, computed once for all steps of a decoding."""
        key, value = self._keys_values(memory)
        cache = KVCache(*key.shape, dtype=key.dtype, device=key.device)
        cache.append(key, value)
        return cache

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        """An empty cache for this layer's keys and values."""
        weight = self.key.weight
        return KVCache(
            batch, self.n_kv_heads, capacity, self.d_head, dtype=weight.dtype, device=weight.device
        )

    @staticmethod
    def _n_keys(x: Tensor, memory: Tensor | KVCache | None, cache: KVCache | None) -> int:
        if memory is not None:
            return memory.length if isinstance(memory, KVCache) else memory.shape[1]
        return x.shape[1] + (0 if cache is None else cache.length)

    def _keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._heads(self.key(x)), self._heads(self.value(x))

    def _mix(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, causal: bool
    ) -> Tensor:
        if query.shape[2] == 1 and not self.training:
            mixed = attend_one_query(query, key, value, mask, use_matmul=self.use_matmul)
        elif self.kernel != "fused" and query.shape[2] > 1:
            mixed = KERNELS[self.kernel](query, key, value, mask=mask, causal=causal)
        else:
            mixed = F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=mask,
                is_causal=causal,
                dropout_p=self.dropout if self.training else 0.0,
                enable_gqa=self.n_kv_heads != self.n_heads,
            )
        return self.out(mixed.transpose(1, 2).flatten(2))  # (B, T, d_model)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.d_head)).transpose(1, 2)


LONG_CACHE_BYTES = 2**24
"""Bytes of keys and values from which plain products win; timed with 1 to 8 key heads."""


def attend_one_query(
    query: Float[Tensor, "batch n_heads 1 d_head"],
    key: Float[Tensor, "batch n_kv_heads keys d_head"],
    value: Float[Tensor, "batch n_kv_heads keys d_head"],
    mask: Bool[Tensor, "batch 1 1 keys"] | None = None,
    *,
    use_matmul: bool | None = None,
) -> Float[Tensor, "batch n_heads 1 d_head"]:
    """Attention of one new token: the query heads of a group are rows of one product.

    Keys and values are read where they lie: nothing is repeated or copied. Long ones go through two
    plain products, keys on the left, since many rows by few columns is the faster product on CPUs;
    short ones through torch's kernel, which is faster while they stay in the CPU's cache. `use_matmul`
    pins the products (True) or the kernel (False), which comparisons over lengths need. A query
    that sees no key gives 0 either way.

    Raises:
        ValueError: the mask is not of bools.
    """
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError(f"a mask of {mask.dtype} must be of bools, True at keys that are seen")
    if use_matmul is None:
        use_matmul = key.nbytes + value.nbytes >= LONG_CACHE_BYTES
    rows = query.unflatten(1, (key.shape[1], -1)).squeeze(3)  # (B, H_kv, group, d_head)
    blind = None if mask is None else ~mask.any(dim=-1, keepdim=True)
    if not use_matmul:
        # torch leaves open what a row without a key gives: it sees all of them, for nothing.
        seen = None if mask is None or blind is None else mask | blind
        mixed = F.scaled_dot_product_attention(rows, key, value, attn_mask=seen)
    else:
        scores = (key @ (rows * rows.shape[-1] ** -0.5).transpose(2, 3)).transpose(2, 3)
        if mask is not None:
            # Not -inf, whose softmax is NaN in a row that sees nothing.
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        mixed = scores.softmax(dim=-1) @ value
    if blind is not None:
        mixed = mixed.masked_fill(blind, 0.0)
    return mixed.flatten(1, 2)[:, :, None]


def causal_mask(keep: Bool[Tensor, "batch time"]) -> Bool[Tensor, "batch 1 time time"]:
    """True where a query (row) may see a key (column): earlier or its own, and kept.

    Every position sees itself, padding too: a row without a key would be a softmax over nothing,
    NaN.
    """
    time = keep.shape[1]
    causal = torch.ones(time, time, dtype=torch.bool, device=keep.device).tril()
    own = torch.eye(time, dtype=torch.bool, device=keep.device)
    return ((causal & keep[:, None, :]) | own)[:, None]
