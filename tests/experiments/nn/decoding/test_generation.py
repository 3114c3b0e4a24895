"""Cached decoding against recomputing the prefix, for every number of key heads and position."""

from itertools import product
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from experiments.nn.attention import attend_one_query
from experiments.nn.decoding.generation import (
    decode_token,
    generate_greedily,
    generate_greedily_uncached,
    prefill,
)
from experiments.nn.transformer import Transformer
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.moe import Balance
from experiments.parts.moe import MixturePart as MixtureOfExpertsOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement
from experiments.parts.transformer import build_transformer

VOCABULARY = 13
DENSE = FeedForwardOptions("dense", 24, Activation.gelu, False, False, 0.0)
MOE = MixtureOfExpertsOptions(
    "moe", 4, 2, 24, Activation.gelu, False, False, 0.0, Balance.aux, 0.01, 0.001, 0.001
)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def model(n_kv_heads=2, position=Position.rotary, *, ffn=DENSE, seed=0) -> Transformer:
    arm = SimpleNamespace(
        model=ModelOptions(32, 2, Init.scaled),
        attention=AttentionOptions("multihead", 8, n_kv_heads, False, 0.0, position, Kernel.fused),
        ffn=ffn,
        norm=NormOptions("norm", Placement.pre, NormType.layer, 1e-5),
    )
    return build_transformer(arm, vocabulary=VOCABULARY, width=None, seed=seed).eval()


def tokens(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n_kv_heads", "position"), list(product([8, 4, 2, 1], Position)))
def test_chunks_and_then_one_by_one_are_the_whole(n_kv_heads: int, position: Position) -> None:
    net, inputs = model(n_kv_heads, position), tokens(3, 12)
    whole = net(inputs).prediction
    caches = net.new_caches(3, 12)
    for piece in inputs[:, :8].split([3, 1, 4], dim=1):
        start = caches[0].length
        logits = net(piece, caches=caches).prediction
        expected = whole[:, start : start + piece.shape[1]]
        torch.testing.assert_close(logits, expected, **CLOSE)
    for t in range(8, 12):
        torch.testing.assert_close(decode_token(net, inputs[:, t], caches), whole[:, t], **CLOSE)
    assert [cache.length for cache in caches] == [12, 12]


@pytest.mark.parametrize(("n_kv_heads", "position"), list(product([8, 2, 1], Position)))
@pytest.mark.parametrize(("chunk", "long"), [(None, 2**24), (2, 0)])
def test_cached_tokens_are_the_recomputed_ones(
    n_kv_heads, position, chunk, long, monkeypatch
) -> None:
    monkeypatch.setattr("experiments.nn.attention.LONG_CACHE_BYTES", long)
    net, prompt = model(n_kv_heads, position), tokens(4, 5, seed=1)
    cached = generate_greedily(net, prompt, n_new=9, chunk=chunk)
    assert cached.shape == (4, 9)
    assert torch.equal(cached, generate_greedily_uncached(net, prompt, n_new=9))


@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 7),
    n_new=st.integers(1, 5),
    chunk=st.integers(1, 4),
    n_kv_heads=st.sampled_from([8, 4, 2, 1]),
    position=st.sampled_from(list(Position)),
)
@settings(max_examples=10, deadline=None)
def test_small_shapes(batch, length, n_new, chunk, n_kv_heads, position) -> None:
    net, prompt = model(n_kv_heads, position), tokens(batch, length, seed=length)
    expected = generate_greedily_uncached(net, prompt, n_new=n_new)
    assert torch.equal(generate_greedily(net, prompt, n_new=n_new, chunk=chunk), expected)


def test_a_mixture_decodes_too() -> None:
    net, prompt = model(ffn=MOE), tokens(2, 5)
    assert torch.equal(
        generate_greedily(net, prompt, n_new=6), generate_greedily_uncached(net, prompt, n_new=6)
    )


def test_the_cache_is_just_large_enough_and_filled() -> None:
    net, prompt = model(), tokens(2, 5)
    caches = net.new_caches(2, 5)
    prefill(net, prompt, caches)
    with pytest.raises(ValueError, match="holds 5 of 5 positions; 1 more"):
        decode_token(net, prompt[:, 0], caches)


@pytest.mark.parametrize("position", [Position.rotary, Position.sinusoidal])
def test_positions_that_start_again_are_caught(position, monkeypatch) -> None:
    # A planted fault: a cached step with the position of the first one.
    name = {
        Position.rotary: "attention.rotary_tables",
        Position.sinusoidal: "transformer.sinusoidal",
    }
    module, function = name[position].split(".")
    path = f"experiments.nn.{module}.{function}"
    original = getattr(__import__(f"experiments.nn.{module}", fromlist=[function]), function)
    net, inputs = model(position=position), tokens(2, 6)
    whole = net(inputs).prediction
    monkeypatch.setattr(path, lambda *args, start=0, **kw: original(*args, **kw))  # noqa: ARG005
    caches = net.new_caches(2, 6)
    prefill(net, inputs[:, :5], caches)
    assert (decode_token(net, inputs[:, 5], caches) - whole[:, 5]).abs().max() > 1e-2


def test_padding_and_caches_do_not_go_together() -> None:
    net, inputs = model(), tokens(2, 4)
    keep = torch.tensor([[True] * 4, [True] * 3 + [False]])
    with pytest.raises(ValueError, match="cut the inputs"):
        net(inputs, keep, caches=net.new_caches(2, 4))


def test_one_cache_for_each_block() -> None:
    net = model()
    with pytest.raises(ValueError, match="zip"):
        net(tokens(2, 4), caches=net.new_caches(2, 4)[:1])


@pytest.mark.parametrize("n_kv_heads", [8, 4, 2, 1])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("long", [0, 2**60])
def test_one_query_is_attention_over_repeated_keys_and_values(
    n_kv_heads, masked, long, monkeypatch
) -> None:
    monkeypatch.setattr("experiments.nn.attention.LONG_CACHE_BYTES", long)
    source = torch.Generator().manual_seed(0)
    query = torch.randn(3, 8, 1, 16, generator=source)
    cache = torch.randn(2, 3, n_kv_heads, 20, 16, generator=source)
    key, value = cache[:, :, :, :11]  # a part of a longer cache, as in decoding
    mask = None
    if masked:
        mask = torch.rand(3, 1, 1, 11, generator=source) < 0.6
        mask[..., 0] = True
    repeated = [x.repeat_interleave(8 // n_kv_heads, dim=1) for x in (key, value)]
    expected = F.scaled_dot_product_attention(query, *repeated, attn_mask=mask)
    torch.testing.assert_close(attend_one_query(query, key, value, mask), expected, **CLOSE)
