"""Scores of attention weights: hand-made ones, blocks beside the whole matrix, planted faults."""

import math

import pytest
import torch
from torch import Tensor

from experiments.probes.heads.attention_weights import (
    MASKED_LOGIT,
    logit_blocks,
    self_attention_weights,
)
from experiments.probes.heads.scores import (
    naive_row_scores,
    row_scores,
    scores_from_weights,
    uniform_scores,
)

B, TIME = 4, 9


def random_qk(n_heads=4, n_kv_heads=2, time=TIME, size=3.0) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    query = torch.randn(B, n_heads, time, 6, generator=source)
    return size * query, torch.randn(B, n_kv_heads, time, 6, generator=source)


def padding() -> Tensor:
    """True at what is no padding."""
    keep = torch.ones(B, TIME, dtype=torch.bool)
    keep[0, 6:] = False
    keep[1, :2] = False
    return keep


def even(time: int = TIME) -> Tensor:
    """Each query looks at all its keys alike."""
    return torch.ones(time, time).tril() / torch.arange(1, time + 1)[:, None]


def at_lag(lag: int, time: int = TIME) -> Tensor:
    """Each query looks at one key, `lag` back (the first queries at themselves)."""
    query = torch.arange(time)
    return torch.eye(time)[torch.where(query >= lag, query - lag, query)]


def logits_of(p: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys whose weights are `p`."""
    return p.clamp(min=1e-30).log().expand(B, 1, -1, -1), torch.eye(len(p)).expand(B, 1, -1, -1)


def test_even_attention_has_the_log_of_the_number_of_keys() -> None:
    entropy, distance, shares = scores_from_weights(even(), (0, 1))
    n = torch.arange(1, TIME + 1)
    torch.testing.assert_close(entropy, n.float().log())
    torch.testing.assert_close(distance, (n - 1) / 2)  # the mean of 0 .. n - 1
    torch.testing.assert_close(shares[0], 1 / n)
    torch.testing.assert_close(shares[1], torch.where(n > 1, 1 / n, 0))


@pytest.mark.parametrize("lag", [0, 1, 4])
def test_a_head_that_looks_at_one_key(lag: int) -> None:
    entropy, distance, shares = scores_from_weights(at_lag(lag), (0, 1, 4))
    assert entropy.eq(0).all()
    assert distance[lag:].eq(lag).all()
    assert shares[(0, 1, 4).index(lag), lag:].eq(1).all()
    assert shares.sum(0)[lag:].eq(1).all()


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
@pytest.mark.parametrize("block", [1, 2, 4, 9, 64])
def test_blocks_agree_with_the_whole_matrix(block: int, n_kv_heads: int, padded: bool) -> None:
    query, key = random_qk(n_kv_heads=n_kv_heads)
    keep = padding() if padded else None
    lags = (0, 1, 5, 8, 20)
    ours = row_scores(query, key, keep, lags, block=block)
    naive = naive_row_scores(query, key, keep, lags)
    for one, other in zip(ours, naive, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)  # logits of 30 in float32


@pytest.mark.parametrize("p", [even(), at_lag(1), at_lag(4)], ids=["even", "previous", "far"])
def test_blocks_score_hand_made_weights(p: Tensor) -> None:
    ours = row_scores(*logits_of(p), None, (0, 1), block=4)
    for one, other in zip(ours, scores_from_weights(p, (0, 1)), strict=True):
        torch.testing.assert_close(one, other[..., None, None, :].expand_as(one), atol=1e-5, rtol=0)


def test_huge_logits_stay_finite() -> None:
    query, key = random_qk(size=1e4)
    found = row_scores(query, key, None, (0,), block=4)
    exact = naive_row_scores(query.double(), key.double(), None, (0,))
    for one, other in zip(found, exact, strict=True):
        assert one.isfinite().all()
        # Logits of 1e5 in float32 are wrong by about 1e-2 themselves.
        torch.testing.assert_close(one.double(), other, atol=0.05, rtol=0.05)


def test_memory_is_that_of_one_block() -> None:
    query, key = random_qk(time=300)
    sizes = {
        logits.untyped_storage().nbytes() for _, logits in logit_blocks(query, key, None, block=16)
    }
    assert sizes == {B * 4 * 16 * 300 * 4}  # batch, heads, rows, keys, bytes


def test_uniform_scores_are_zero_at_padding() -> None:
    keep = padding()
    entropy, distance, shares = uniform_scores(keep, (0, 1))
    assert entropy[~keep].eq(0).all()
    assert distance[~keep].eq(0).all()
    assert shares[:, ~keep].eq(0).all()


def test_a_forgotten_mask_or_order_would_be_seen() -> None:
    """Planted faults change the weights by far more than the tests above allow."""
    query, key = random_qk()
    right = self_attention_weights(query, key)
    unmasked = (query @ key.repeat_interleave(2, 1).transpose(2, 3)).softmax(-1)
    assert (right - unmasked).abs().max() > 0.1
    tiled = self_attention_weights(query, key.repeat(1, 2, 1, 1))  # the wrong order of shared heads
    assert (right - tiled).abs().max() > 0.1
    assert math.isfinite(MASKED_LOGIT)
