"""Multi-head attention. `n_kv_heads` makes it MHA, GQA or MQA; `memory` makes it cross-attention.

Legend of shapes:
    batch: sequences. Comments write B.
    time: positions of the queries. Comments write T.
    source: positions of a memory, in cross-attention.
    keys: positions of keys and values: time, cached positions and time, or source.
    d_model: width of the residual stream.
    n_heads: query heads. Comments write H.
    n_kv_heads: heads of keys and values, shared by groups of query heads. Comments write H_kv.
    d_head: width of a head.
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
    """Softmax attention, out(softmax(q k' / sqrt(d_head)) v), with a kernel from `kernels`.

    The number of key and value heads gives three known variants:
    - n_kv_heads == n_heads: multi-head attention (Vaswani 2017);
    - n_kv_heads == 1: multi-query attention (Shazeer 2019);
    - a divisor of n_heads in between: grouped-query attention (Ainslie 2023).
    Key head j serves a group of n_heads / n_kv_heads neighbouring query heads. The group begins at
    query head j * n_heads / n_kv_heads.

    Dropout acts on the attention weights. Sinusoidal positions are added to the model's input,
    so this module does nothing for them. In eval mode a single query, as in decoding, is computed
    by `attend_one_query`.

    Attributes:
        use_matmul: how `attend_one_query` computes. None lets it choose by size; a timing sets
            True or False.
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
        # Separate matrices, not one fused matrix: MHA and GQA then share names and, for `query`
        # and `out`, shapes. `initialise` draws by name, so both start with the same values.
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
        """Attend to the keys where `keep` is True.

        Where a sequence has no key to attend to, its heads return zeros.

        Args:
            x: the queries. In self-attention also the positions of new keys and values.
            keep: the padding mask of all keys: those of x and the cache, or of the memory. None
                keeps all keys.
            memory: the sequence to attend to in cross-attention. `causal` and rotary positions then
                do not apply. `new_memory_cache` computes its keys and values once.
            causal: whether a query of self-attention sees only itself and earlier positions.
            cache: keys and values of earlier positions; x follows them and is appended.

        Raises:
            ValueError: `keep` is not a tensor of bools, or its shape is not (batch, keys).
        """
        check_padding_mask(keep, (len(x), self._n_keys(x, memory, cache)))
        # Cross-attention: every query sees the whole memory, so only padding is masked.
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
        # Self-attention. The first new position is the number of cached ones.
        start = cache.length if cache is not None else 0
        query, key, value = self.project(x, start=start)
        if cache is not None:
            key, value = cache.append(key, value)
        if not causal:
            return self._mix(
                query, key, value, None if keep is None else keep[:, None, None, :], causal=False
            )
        # Kernels count queries and keys from 0. Several queries after cached keys are shifted
        # against them, and padding depends on the sequence: both need an explicit mask.
        if keep is not None or (start and x.shape[1] > 1):
            ones = torch.ones(len(x), key.shape[2], dtype=torch.bool, device=x.device)
            return self._mix(
                query,
                key,
                value,
                causal_mask(ones if keep is None else keep)[:, :, start:],
                causal=False,
            )
        # A single new query sees all keys so far, so it needs no mask.
        return self._mix(query, key, value, None, causal=x.shape[1] > 1)

    def project(
        self, x: Float[Tensor, "batch time d_model"], *, start: int = 0
    ) -> tuple[
        Float[Tensor, "batch n_heads time d_head"],
        Float[Tensor, "batch n_kv_heads time d_head"],
        Float[Tensor, "batch n_kv_heads time d_head"],
    ]:
        """Return the queries, keys and values of x, whose first position is `start`.

        Queries and keys are rotated if positions are rotary.
        """
        query, (key, value) = self._heads(self.query(x)), self._keys_values(x)
        if self.position == "rotary":
            cos, sin = rotary_tables(x.shape[1], self.d_head, start=start, device=x.device)
            query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        return query, key, value

    def new_memory_cache(self, memory: Float[Tensor, "batch source d_model"]) -> KVCache:
        """Return a cache with the keys and values of a memory, for all steps of a decoding."""
        key, value = self._keys_values(memory)
        cache = KVCache(*key.shape, dtype=key.dtype, device=key.device)
        cache.append(key, value)
        return cache

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        """Return an empty cache for the keys and values of `capacity` positions."""
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
        # Dropout is 0 outside of training, so the path of a single query need not support it.
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
"""Bytes of keys and values from which two matrix products are faster than torch's kernel.

Measured with 1 to 8 key heads.
"""


def attend_one_query(
    query: Float[Tensor, "batch n_heads 1 d_head"],
    key: Float[Tensor, "batch n_kv_heads keys d_head"],
    value: Float[Tensor, "batch n_kv_heads keys d_head"],
    mask: Bool[Tensor, "batch 1 1 keys"] | None = None,
    *,
    use_matmul: bool | None = None,
) -> Float[Tensor, "batch n_heads 1 d_head"]:
    """Return the attention of one new token, softmax(q k' / sqrt(d_head)) v, for each head.

    No key or value is repeated or copied. A query without a visible key gets 0.

    Args:
        query: the new token's query heads.
        key: the keys of all positions so far.
        value: the values of the same positions.
        mask: True at keys that the query sees; None for all.
        use_matmul: compute by two matrix products (True) or by torch's kernel (False). None
            chooses the faster one: the products from `LONG_CACHE_BYTES` on. Comparisons over
            lengths set it.

    Raises:
        ValueError: the mask is not a tensor of bools.
    """
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError(f"the mask is of {mask.dtype}; it must be of bools, True at visible keys")
    if use_matmul is None:
        use_matmul = key.nbytes + value.nbytes >= LONG_CACHE_BYTES
    # The query heads of a group become rows of one product, so their keys are read once.
    rows = query.unflatten(1, (key.shape[1], -1)).squeeze(3)  # (B, H_kv, group, d_head)
    has_no_key = None if mask is None else ~mask.any(dim=-1, keepdim=True)
    if not use_matmul:
        # torch does not define the result of a row without a key. Such a row sees all keys here,
        # and its result is replaced by 0 below.
        visible = None if mask is None or has_no_key is None else mask | has_no_key
        mixed = F.scaled_dot_product_attention(rows, key, value, attn_mask=visible)
    else:
        # Keys are on the left: on CPUs many rows times few columns is the faster product.
        scores = (key @ (rows * rows.shape[-1] ** -0.5).transpose(2, 3)).transpose(2, 3)
        if mask is not None:
            # The smallest number, not -inf: the softmax of a row of -inf is NaN.
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        mixed = scores.softmax(dim=-1) @ value  # (B, H_kv, group, d_head)
    if has_no_key is not None:
        mixed = mixed.masked_fill(has_no_key, 0.0)
    return mixed.flatten(1, 2)[:, :, None]  # (B, H, 1, d_head)


def causal_mask(keep: Bool[Tensor, "batch time"]) -> Bool[Tensor, "batch 1 time time"]:
    """Return the mask of causal attention: True where a query (row) sees a key (column).

    A query sees the kept positions up to its own. It always sees itself, also at padding, because
    the softmax of a row without a key is NaN.
    """
    time = keep.shape[1]
    causal = torch.ones(time, time, dtype=torch.bool, device=keep.device).tril()
    own = torch.eye(time, dtype=torch.bool, device=keep.device)
    return ((causal & keep[:, None, :]) | own)[:, None]
