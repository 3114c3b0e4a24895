"""Attention kernels against the formula in float64, torch, gradcheck, and planted faults.

Legend: B batch, H query heads, K key heads, T queries, S keys, D width of a head.
"""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from experiments.nn.attention import Attention
from experiments.nn.initialise import initialise
from experiments.nn.kernels import head_chunks, online_softmax
from experiments.nn.kernels.kernel import KERNELS, fused_attention, naive_attention
from experiments.nn.kernels.tiled import choose_tiles, tiled_attention
from experiments.nn.kernels.tiles import Tiles, masked_corner
from experiments.parts.attention import Kernel
from experiments.probes.saved_activations import saved_bytes

SHAPES = {  # B, H, K, T, S, D
    "one": (1, 1, 1, 1, 1, 4),
    "short": (2, 4, 4, 7, 7, 8),
    "grouped": (2, 4, 2, 65, 33, 16),
    "one key head": (1, 8, 1, 40, 100, 16),
    "odd": (1, 2, 2, 257, 257, 8),
}
MASKS = {"none": "", "shared": "ts", "keys": "bs", "rows": "bht", "whole": "bhts"}
UNDER_TEST = {
    "naive": naive_attention,
    "fused": fused_attention,
    "tiled": tiled_attention,
    "tiled 16/16": partial(tiled_attention, block_q=16, block_k=16),
    "tiled 3/50": partial(tiled_attention, block_q=3, block_k=50),
    "tiled 64/16": partial(tiled_attention, block_q=64, block_k=16),
}


def draw(b, h, k, t, s, d, *, dtype=torch.float32, size=1.0):
    """Return queries, keys, values and the gradient of the output."""
    torch.manual_seed(b + h + t + s)
    shapes = ((b, h, t, d), (b, k, s, d), (b, k, s, d), (b, h, t, d))
    return [(size * torch.randn(shape)).to(dtype) for shape in shapes]


def draw_mask(mask, shape):
    """Return a mask that differs along the axes named in MASKS and is 1 wide along the others."""
    b, h, _, t, s, _ = SHAPES.get(shape, shape)
    sizes = {"b": b, "h": h, "t": t, "s": s}
    axes = MASKS[mask]
    return torch.rand([n if x in axes else 1 for x, n in sizes.items()]) > 0.4 if axes else None


def both(kernel, query, key, value, upstream, **options):
    leaves = [x.detach().requires_grad_() for x in (query, key, value)]
    mixed = kernel(*leaves, **options)
    return [mixed.detach(), *torch.autograd.grad(mixed, leaves, upstream)]


def worst(kernel, inputs, **options):
    """Return the largest error of the output and each gradient against the formula in float64."""
    exact = both(naive_attention, *(x.double() for x in inputs), **options)
    computed = both(kernel, *inputs, **options)
    return [float((a - b).abs().max()) for a, b in zip(computed, exact, strict=True)]


@pytest.mark.some(4)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_all_kernels_are_the_formula(shape, mask, causal):
    inputs, chosen = draw(*SHAPES[shape]), draw_mask(mask, shape)
    for name, kernel in UNDER_TEST.items():
        errors = worst(kernel, inputs, mask=chosen, causal=causal, scale=0.2)
        assert max(errors) < 2e-5, (name, errors)


@pytest.mark.parametrize("causal", [False, True])
def test_the_formula_is_torchs(causal):
    query, key, value, _ = draw(2, 4, 2, 9, 9, 8, dtype=torch.float64)
    theirs = F.scaled_dot_product_attention(
        query, *(x.repeat_interleave(2, 1) for x in (key, value)), is_causal=causal
    )
    torch.testing.assert_close(naive_attention(query, key, value, causal=causal), theirs)


def test_causal_counts_from_the_first_position_where_lengths_differ():
    query, key, value, _ = draw(1, 2, 2, 5, 3, 4)
    for kernel in UNDER_TEST.values():
        mixed = kernel(query, key, value, causal=True)
        torch.testing.assert_close(mixed[:, :, 0], value[:, :, 0])
        torch.testing.assert_close(mixed[:, :, 2:], naive_attention(query[:, :, 2:], key, value))


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("shape", "causal", "mask"),
    [
        ((1, 1, 1, 5, 5, 2), True, "none"),
        ((1, 2, 1, 3, 5, 2), False, "none"),
        ((1, 2, 1, 5, 3, 2), True, "shared"),
        ((2, 1, 1, 3, 4, 2), False, "whole"),
    ],
)
def test_the_backward_passes_gradcheck(shape, causal, mask):
    *inputs, _ = draw(*shape, dtype=torch.float64)
    chosen = draw_mask(mask, shape)
    leaves = [x.requires_grad_() for x in inputs]
    for blocks in ((2, 2), (3, 100)):
        kernel = partial(
            tiled_attention,
            causal=causal,
            mask=chosen,
            block_q=blocks[0],
            block_k=blocks[1],
            scale=0.7,
        )
        assert torch.autograd.gradcheck(kernel, leaves)


@pytest.mark.parametrize("kernel", UNDER_TEST.values(), ids=list(UNDER_TEST))
def test_rows_that_see_nothing_are_zero_and_have_no_gradient(kernel):
    inputs = draw(2, 4, 2, 40, 40, 8)
    mask = torch.ones(40, 40, dtype=torch.bool)
    mask[17] = False
    mask[20, :21] = False  # rows see no key only together with causal
    mixed, *grads = both(kernel, *inputs, mask=mask, causal=True)
    for row in (17, 20):
        assert not mixed[:, :, row].any()
        assert not grads[0][:, :, row].any()
    assert all(g.isfinite().all() for g in grads)
    blind = torch.zeros(1, 1, dtype=torch.bool)
    assert not any(x.any() for x in both(kernel, *inputs, mask=blind))


@pytest.mark.parametrize("kernel", UNDER_TEST.values(), ids=list(UNDER_TEST))
def test_huge_logits_stay_finite(kernel):
    query, key, value, upstream = draw(1, 1, 1, 40, 40, 8)
    logits = query @ key.mT
    scale = 1e4 / float(logits.abs().max())
    mixed, *grads = both(kernel, query, key, value, upstream, scale=scale)
    assert all(x.isfinite().all() for x in (mixed, *grads))
    exact = (logits.double() * scale).softmax(-1) @ value.double()
    torch.testing.assert_close(mixed.double(), exact, atol=5e-3, rtol=0)


def test_below_float32_the_error_is_at_most_the_formulas():
    inputs = draw(1, 2, 2, 300, 300, 32, dtype=torch.bfloat16)
    for blocks in ({}, {"block_q": 32, "block_k": 32}):
        errors = worst(partial(tiled_attention, **blocks), inputs, causal=True)
        plain = worst(naive_attention, inputs, causal=True)
        assert all(a <= b for a, b in zip(errors, plain, strict=True)), (errors, plain)


def excess(causal=True):
    """Return the worst error of tiles of 16 over the limit of FlashAttention's own tests.

    Above 1 is a fault. The limit of the output is twice the error of the formula in the same dtype;
    for gradients it is three times that error. A slack is added, since the error can be almost 0 by
    chance. Inputs are ordinary, and large: logits beyond 100 overflow without the maximum.
    """
    ratios, little = [], 8 * torch.finfo(torch.float32).eps
    for size in (1.0, 6.0):
        inputs = draw(1, 2, 2, 200, 200, 16, size=size)
        kernel = partial(tiled_attention, block_q=16, block_k=16)
        errors, plain = (worst(k, inputs, causal=causal) for k in (kernel, naive_attention))
        allowed = [
            factor * error + little for factor, error in zip((2, 3, 3, 3), plain, strict=True)
        ]
        ratios += [a / b for a, b in zip(errors, allowed, strict=True)]
    return max(x if x == x else float("inf") for x in ratios)


def test_the_error_is_as_small_as_that_of_the_formula():
    for causal in (True, False):
        assert excess(causal) <= 1


def no_rescaling(before, now):
    return torch.ones_like(before - now)


def no_maximum(scores):
    return torch.zeros_like(scores[..., :1])


def sum_in_bfloat16(total, factor, new):
    return (total * factor + new).bfloat16().float()


def one_late(rows, columns):
    corner = masked_corner(rows, columns)
    return corner and (corner[0], corner[1] + 1)


@pytest.mark.parametrize(
    ("module", "name", "fault"),
    [
        (online_softmax, "rescaling_factor", no_rescaling),
        (online_softmax, "row_max", no_maximum),
        (online_softmax, "running_sum", sum_in_bfloat16),
        (head_chunks, "masked_corner", one_late),
    ],
)
def test_planted_faults_are_caught(monkeypatch, module, name, fault):
    monkeypatch.setattr(module, name, fault)
    assert excess() > 1


def test_a_causal_kernel_leaves_blocks_out():
    tiles = Tiles(1024, 1024, 128, 128, causal=True)
    assert tiles.count_executed() == 36  # 8 * 9 / 2 of 64
    assert tiles.executed_share() == 36 / 64
    assert Tiles(1024, 1024, 128, 128, causal=False).count_executed() == 64


@pytest.mark.parametrize("sizes", [(7, 7, 3, 2), (5, 9, 2, 4), (9, 5, 100, 2), (8, 8, 4, 4)])
def test_tiles_cover_all_that_is_visible_and_nothing_twice(sizes):
    tiles = Tiles(*sizes, causal=True)
    n_visits = torch.zeros(sizes[:2], dtype=torch.int)
    for rows in tiles.rows():
        for columns in tiles.columns(rows):
            part = torch.zeros(rows.stop - rows.start, columns.stop - columns.start)
            head_chunks.mask_future(part, rows, columns)
            n_visits[rows, columns] += (part == 0).int()
    assert torch.equal(n_visits, torch.ones_like(n_visits).tril())


def test_block_sizes_are_for_positions_and_shrink_with_groups():
    query, key, _, _ = draw(1, 8, 2, 300, 300, 8)
    assert choose_tiles(query, key, causal=True).block_q * 4 == 128
    with pytest.raises(ValueError, match="block_k=0 must be at least 1"):
        tiled_attention(query, key, key, block_k=0)


@pytest.mark.parametrize("length", [64, 300])
def test_bytes_saved_grow_with_the_length_or_with_its_square(length):
    *inputs, _ = draw(1, 4, 2, length, length, 16)
    leaves = [x.requires_grad_() for x in inputs]
    n_saved = {n: saved_bytes(partial(k, *leaves), leaves) for n, k in UNDER_TEST.items()}
    assert n_saved["naive"] == 4 * length * (length + 16) * 4  # the weights and the scaled queries
    # The output and two numbers a row.
    assert n_saved["tiled"] == n_saved["tiled 16/16"] == 4 * length * (16 + 2) * 4


def test_saved_bytes_counts_a_storage_once():
    x = torch.randn(10, requires_grad=True)
    assert saved_bytes(lambda: x.exp(), [x]) == 40  # the result
    assert saved_bytes(lambda: x * x, [x]) == 0
    assert saved_bytes(lambda: x * x) == 40


def test_errors_name_values_and_rule():
    query, key, value, _ = draw(1, 4, 2, 5, 6, 4)
    for kernel in KERNELS.values():
        with pytest.raises(ValueError, match="n_heads=3 must be a multiple of n_kv_heads=2"):
            kernel(query[:, :3], key, value)
        with pytest.raises(ValueError, match=r"a mask of shape \(6, 5\) does not fit"):
            kernel(query, key, value, mask=torch.ones(6, 5, dtype=torch.bool))
        with pytest.raises(ValueError, match="source=0"):
            kernel(query, key[:, :, :0], value[:, :, :0])


@pytest.mark.parametrize("n_kv_heads", [4, 2])
@pytest.mark.parametrize("padded", [False, True])
def test_attention_is_the_same_with_every_kernel(n_kv_heads, padded):
    x = torch.randn(2, 11, 16)
    keep = torch.arange(11).expand(2, 11) < torch.tensor([[11], [7]]) if padded else None
    outputs = []
    for kernel in Kernel:
        layer = Attention(16, n_heads=4, n_kv_heads=n_kv_heads, kernel=kernel)
        initialise(layer, 0)
        outputs.append(layer(x, keep))
    torch.testing.assert_close(outputs[0], outputs[2])
    torch.testing.assert_close(outputs[1], outputs[2])
