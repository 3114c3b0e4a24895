"""Attention against torch's own module, and properties for every number of key heads."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from experiments.nn.attention import LONG_CACHE_BYTES, Attention, attend_one_query, causal_mask
from experiments.nn.kernels.kernel import naive_attention
from experiments.nn.padding import check_padding_mask
from experiments.nn.position import rotary_tables, rotate, sinusoidal
from experiments.parts.attention import Position

D_MODEL, N_HEADS, TIME = 32, 4, 7


def attention(n_kv_heads: int = N_HEADS, seed: int = 0, **options) -> Attention:
    torch.manual_seed(seed)
    options = {"position": Position.none} | options
    return Attention(D_MODEL, n_heads=N_HEADS, n_kv_heads=n_kv_heads, **options)


def suffix_padding() -> torch.Tensor:
    keep = torch.ones(3, TIME, dtype=torch.bool)
    keep[1, 5:] = False
    keep[2, 2:4] = False
    return keep


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_agrees_with_torch(bias: bool, padded: bool) -> None:
    ours = attention(bias=bias)
    theirs = nn.MultiheadAttention(D_MODEL, N_HEADS, bias=bias, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(
            torch.cat([ours.query.weight, ours.key.weight, ours.value.weight])
        )
        theirs.out_proj.weight.copy_(ours.out.weight)
        if bias:
            theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
            theirs.out_proj.bias.copy_(ours.out.bias)
    x = torch.randn(3, TIME, D_MODEL)
    keep = suffix_padding() if padded else None
    mask = ~torch.ones(TIME, TIME, dtype=torch.bool).tril()
    expected, _ = theirs(x, x, x, attn_mask=mask, key_padding_mask=None if keep is None else ~keep)
    real = slice(None) if keep is None else keep
    torch.testing.assert_close(ours(x, keep)[real], expected[real], rtol=1e-5, atol=1e-6)


def test_as_many_key_heads_as_query_heads_is_bitwise_multi_head() -> None:
    part = attention()
    x = torch.randn(2, TIME, D_MODEL)
    q, k, v = (
        layer(x).view(2, TIME, N_HEADS, -1).transpose(1, 2)
        for layer in (part.query, part.key, part.value)
    )
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    expected = part.out(mixed.transpose(1, 2).reshape(2, TIME, D_MODEL))
    assert torch.equal(part(x), expected)


@pytest.mark.parametrize("n_kv_heads", [1, 2])
@pytest.mark.parametrize("position", [Position.none, Position.rotary])
def test_grouped_is_multi_head_with_repeated_keys_and_values(n_kv_heads, position) -> None:
    grouped, full = attention(n_kv_heads, position=position), attention(position=position)
    with torch.no_grad():
        for name in ("query", "out"):
            getattr(full, name).weight.copy_(getattr(grouped, name).weight)
        for name in ("key", "value"):
            heads = getattr(grouped, name).weight.view(n_kv_heads, -1, D_MODEL)
            repeated = heads.repeat_interleave(N_HEADS // n_kv_heads, dim=0)
            getattr(full, name).weight.copy_(repeated.reshape(D_MODEL, D_MODEL))
    x = torch.randn(2, TIME, D_MODEL)
    torch.testing.assert_close(grouped(x), full(x), rtol=1e-5, atol=1e-6)


def test_a_row_without_kept_keys_stays_finite() -> None:
    keep = torch.tensor([[False, False, True]])
    assert torch.isfinite(attention()(torch.randn(1, 3, D_MODEL), keep)).all()


def test_mask_by_hand() -> None:
    keep = torch.tensor([[True, False, True]])
    by_hand = [[True, False, False], [True, True, False], [True, False, True]]
    assert causal_mask(keep)[0, 0].tolist() == by_hand


def test_dropout_only_in_training() -> None:
    part, x = attention(dropout=0.5), torch.randn(1, TIME, D_MODEL)
    assert not torch.equal(part(x), part(x))
    part.eval()
    assert torch.equal(part(x), part(x))


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({"n_heads": 5, "n_kv_heads": 5}, ("32", "5")),
        ({"n_heads": 4, "n_kv_heads": 3}, ("4", "3")),
        ({"n_heads": 32, "n_kv_heads": 32}, ("32", "1")),  # a rotary head of one coordinate
    ],
)
def test_sizes_that_do_not_fit_are_named(options, numbers) -> None:
    with pytest.raises(ValueError, match=".*".join(numbers)):
        Attention(D_MODEL, **options, position=Position.rotary)


def test_rotary_scores_depend_on_distance_alone() -> None:
    q, k = torch.randn(2, 8, dtype=torch.float64)
    cos, sin = rotary_tables(12, 8)
    queries, keys = (rotate(v.expand(1, 1, 12, 8), cos, sin)[0, 0] for v in (q, k))
    scores = queries @ keys.T
    for distance in (0, 3):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-5, atol=1e-5)
    assert (scores[0, 0] - scores[0, 3]).abs() > 1e-3
    assert torch.equal(queries[0], q)  # position 0 is not turned


def test_sinusoids_by_hand() -> None:
    table = sinusoidal(3, 4)
    # d_model 4 has the frequencies 1 and 10000 ** -0.5 = 0.01.
    by_hand = torch.tensor([2.0, 2.0, 0.02, 0.02])
    by_hand = torch.stack([by_hand[0].sin(), by_hand[1].cos(), by_hand[2].sin(), by_hand[3].cos()])
    torch.testing.assert_close(table[2], by_hand)
    assert table[0].tolist() == [0, 1, 0, 1]
    assert sinusoidal(3, 5).shape == (3, 5)


@pytest.mark.parametrize("kind", [torch.float32, torch.int64, torch.uint8])
@pytest.mark.parametrize("causal", [True, False])
def test_keep_must_be_of_bools(kind: torch.dtype, causal: bool) -> None:
    x, keep = torch.randn(3, TIME, D_MODEL), suffix_padding()
    with pytest.raises((ValueError, TypeError)):
        attention()(x, keep.to(kind), causal=causal)
    with pytest.raises((ValueError, TypeError)):
        attention()(x, keep.to(kind), memory=x)
    with pytest.raises(ValueError, match="bools"):
        check_padding_mask(keep.to(kind), (3, TIME))


@pytest.mark.parametrize("n", [TIME - 1, TIME + 1])
def test_keep_must_cover_the_keys(n: int) -> None:
    x = torch.randn(3, TIME, D_MODEL)
    with pytest.raises((ValueError, TypeError)):
        attention()(x, torch.ones(3, n, dtype=torch.bool), causal=False)
    with pytest.raises((ValueError, TypeError)):
        attention()(x, torch.ones(1, TIME, dtype=torch.bool))
    with pytest.raises(ValueError, match="shape"):
        check_padding_mask(torch.ones(3, n, dtype=torch.bool), (3, TIME))


@pytest.mark.parametrize("n_kv_heads", [4, 2])
@pytest.mark.parametrize("plain", [True, False, None])
def test_a_single_query_that_sees_no_key_gives_0(n_kv_heads: int, plain: bool | None) -> None:
    torch.manual_seed(0)
    q, k, v = (
        torch.randn(3, heads, n, 8) for heads, n in ((4, 1), (n_kv_heads, 5), (n_kv_heads, 5))
    )
    mask = torch.tensor([[True] * 5, [False] * 5, [True, False, False, True, False]])[:, None, None]
    mixed = attend_one_query(q, k, v, mask, use_matmul=plain)
    assert torch.equal(mixed[1], torch.zeros_like(mixed[1]))
    expected = naive_attention(q, k, v, mask=mask)
    torch.testing.assert_close(mixed, expected)


def test_what_sees_no_key_gives_0_however_long_the_keys() -> None:
    q = torch.randn(1, 1, 1, 64)
    for n in (8, 2**16):
        k = torch.randn(1, 1, n, 64)
        assert (k.nbytes * 2 >= LONG_CACHE_BYTES) == (n > 8)
        mixed = attend_one_query(q, k, k, torch.zeros(1, 1, 1, n, dtype=torch.bool))
        assert torch.equal(mixed, torch.zeros_like(mixed))
