"""The cache of keys and values: its bytes, its views, and the error when it is full."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.nn.attention import Attention
from experiments.nn.decoding.kv_cache import KVCache
from experiments.parts.attention import Position


def formula(
    *, n_layers: int, batch: int, n_kv_heads: int, length: int, d_head: int, size: int
) -> int:
    return 2 * n_layers * batch * n_kv_heads * length * d_head * size


def test_bytes_by_hand() -> None:
    # Four layers, batch 8, 1024 positions, 2 heads of width 64, float32: the oracle of the design.
    layers = [KVCache(8, 2, 1024, 64) for _ in range(4)]
    expected = formula(n_layers=4, batch=8, n_kv_heads=2, length=1024, d_head=64, size=4)
    assert expected == 33_554_432
    assert sum(layer.nbytes for layer in layers) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("n_kv_heads", [8, 4, 2, 1])
def test_a_layer_makes_the_cache_of_its_key_heads(n_kv_heads: int, dtype: torch.dtype) -> None:
    layer = Attention(64, n_heads=8, n_kv_heads=n_kv_heads).to(dtype)
    cache = layer.new_cache(3, 10)
    sizes = {"batch": 3, "length": 10, "d_head": 8, "size": dtype.itemsize}
    assert cache.nbytes == formula(n_layers=1, n_kv_heads=n_kv_heads, **sizes)
    stored = cache.keys.untyped_storage().nbytes() + cache.values.untyped_storage().nbytes()
    assert cache.nbytes == stored
    assert cache.keys.dtype == cache.values.dtype == dtype


def test_a_cache_sized_by_query_heads_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Attention(64, n_heads=8, n_kv_heads=2, position=Position.none)

    def by_query_heads(batch: int, capacity: int) -> KVCache:
        return KVCache(batch, layer.n_heads, capacity, layer.d_head)

    monkeypatch.setattr(layer, "new_cache", by_query_heads)
    cache = layer.new_cache(3, 10)
    assert cache.nbytes == 4 * formula(
        n_layers=1, batch=3, n_kv_heads=2, length=10, d_head=8, size=4
    )
    with pytest.raises(ValueError, match=r"\(3, 2, 1, 8\).*\(3, 8, 10, 8\)"):
        layer(torch.randn(3, 1, 64), cache=cache)


@given(
    batch=st.integers(1, 3),
    n_kv_heads=st.integers(1, 4),
    d_head=st.integers(1, 5),
    pieces=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    spare=st.integers(0, 3),
)
@settings(max_examples=30, deadline=None)
def test_pieces_come_back_in_order_and_without_a_copy(
    batch: int, n_kv_heads: int, d_head: int, pieces: list[int], spare: int
) -> None:
    length = sum(pieces)
    key, value = torch.randn(2, batch, n_kv_heads, length, d_head)
    cache = KVCache(batch, n_kv_heads, length + spare, d_head)
    for new in torch.arange(length).split(pieces):
        keys, values = cache.append(key[:, :, new], value[:, :, new])
        end = int(new[-1]) + 1
        assert torch.equal(keys, key[:, :, :end])
        assert torch.equal(values, value[:, :, :end])
        assert keys.data_ptr() == cache.keys.data_ptr()
        assert values.data_ptr() == cache.values.data_ptr()
    assert cache.length == length


def test_a_full_cache_names_both_numbers() -> None:
    cache = KVCache(1, 2, 5, 3)
    cache.append(*torch.zeros(2, 1, 2, 4, 3))
    with pytest.raises(ValueError, match="holds 4 of 5 positions; 2 more"):
        cache.append(*torch.zeros(2, 1, 2, 2, 3))
    assert cache.length == 4
    cache.append(*torch.zeros(2, 1, 2, 1, 3))


@pytest.mark.parametrize("shape", [(2, 2, 1, 3), (1, 4, 1, 3), (1, 2, 1, 5)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"do not fit a cache of shape \(1, 2, 5, 3\)"):
        KVCache(1, 2, 5, 3).append(*torch.zeros(2, *shape))
