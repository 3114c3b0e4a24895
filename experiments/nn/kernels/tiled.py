"""Attention by tiles: linear memory in both directions, in plain PyTorch.

The forward keeps one tile of scores at a time (Dao 2022, FlashAttention); the backward computes
each tile again from the inputs and two numbers a row.

Legend: batch, n_heads, n_kv_heads, time, source, d_head as in `shapes`; in comments N is
batch * n_kv_heads, G = n_heads / n_kv_heads.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from experiments.nn.kernels.head_chunks import (
    MAX_TILE_KEYS,
    MAX_TILE_ROWS,
    buffer_view,
    flatten_groups,
    split_heads,
)
from experiments.nn.kernels.online_softmax import OnlineSoftmax
from experiments.nn.kernels.shapes import check_kernel_inputs
from experiments.nn.kernels.tiles import Tiles


def tiled_attention(
    query: Float[Tensor, "batch n_heads time d_head"],
    key: Float[Tensor, "batch n_kv_heads source d_head"],
    value: Float[Tensor, "batch n_kv_heads source d_head"],
    *,
    mask: Bool[Tensor, "..."] | None = None,
    causal: bool = False,
    scale: float | None = None,
    block_q: int | None = None,
    block_k: int | None = None,
) -> Float[Tensor, "batch n_heads time d_head"]:
    """As `kernels.naive`, in memory linear in the lengths; its backward cannot be differentiated.

    Below float32, tiles are computed in float32. Block sizes are in positions; None chooses those
    that are fastest at this length.
    """
    check_kernel_inputs(query, key, value, mask)
    tiles = choose_tiles(query, key, causal=causal, block_q=block_q, block_k=block_k)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    mixed: Tensor = _Tiled.apply(query, key, value, mask, scale, tiles)
    return mixed


def choose_tiles(
    query: Float[Tensor, "batch n_heads time d_head"],
    key: Float[Tensor, "batch n_kv_heads source d_head"],
    *,
    causal: bool,
    block_q: int | None = None,
    block_k: int | None = None,
) -> Tiles:
    """The tiles that `tiled_attention` works through."""
    groups = query.shape[1] // key.shape[1]
    rows = max(1, MAX_TILE_ROWS // groups) if block_q is None else block_q
    return Tiles(
        query.shape[2], key.shape[2], rows, MAX_TILE_KEYS if block_k is None else block_k, causal
    )


class _Tiled(torch.autograd.Function):
    """Saves the inputs, the output and two numbers a row."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scale: float,
        tiles: Tiles,
    ) -> Tensor:
        parts, size = split_heads(query, key, value, mask, scale, tiles)
        grouped = (key.shape[0] * key.shape[1], query.shape[1] // key.shape[1], *query.shape[2:])
        mixed = query.new_zeros(grouped)
        dtype = torch.promote_types(query.dtype, torch.float32)
        softmaxes = query.new_empty((*grouped[:-1], 2), dtype=dtype)
        buffer = softmaxes.new_empty(size)
        for part in parts:
            for rows in tiles.rows():
                block, softmax = flatten_groups(part.query[:, :, rows]), OnlineSoftmax()
                for columns in tiles.columns(rows):
                    scores = part.scores(block, rows, columns, buffer)
                    softmax.add(scores, part.value[:, columns])
                means, softmaxes[part.heads, :, rows] = (
                    x.unflatten(1, (grouped[1], -1)) for x in softmax.finish()
                )
                mixed[part.heads, :, rows] = means
        mixed = mixed.view(query.shape)
        ctx.save_for_backward(query, key, value, mask, mixed, softmaxes)
        ctx.scale, ctx.tiles = scale, tiles
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Dao 2022, algorithm 4, with P the weights and dP = grad V' their gradient.

        dV = P' grad, dS = P * (dP - D), dQ = scale dS K, dK = scale dS' Q. D is the row sum of
        P * dP, which equals that of grad * output but for rounding: where a tile has whole rows the
        former is used, since it halves the error of dQ.
        """
        query, key, value, mask, mixed, softmaxes = ctx.saved_tensors
        parts, size = split_heads(query, key, value, mask, ctx.scale, ctx.tiles)
        grad = grad.reshape(*softmaxes.shape[:-1], -1)  # (N, G, T, d)
        dots = (grad.to(softmaxes.dtype) * mixed.reshape(grad.shape)).sum(-1, keepdim=True)
        grad_query = torch.empty_like(grad)
        flat = (softmaxes.shape[0], *key.shape[2:])
        grad_key, grad_value = (softmaxes.new_zeros(flat) for _ in range(2))
        buffers = softmaxes.new_empty(2 + ctx.tiles.whole_rows, size)
        for part in parts:
            heads = part.heads
            for rows in ctx.tiles.rows():
                block = flatten_groups(part.query[:, :, rows])
                largest, total = flatten_groups(softmaxes[heads, :, rows]).split(1, dim=-1)
                # The weights stay unnormalised: what they are multiplied with is divided instead.
                upstream, dot = (flatten_groups(x[heads, :, rows]) / total for x in (grad, dots))
                slope = torch.zeros_like(block)
                for columns in ctx.tiles.columns(rows):
                    weights = part.scores(block, rows, columns, buffers[0]).sub_(largest).exp2_()
                    grad_value[heads, columns].baddbmm_(weights.mT, upstream)
                    by_score = buffer_view(buffers[1], *weights.shape)
                    torch.bmm(upstream, part.value[:, columns].mT, out=by_score)
                    if ctx.tiles.whole_rows:
                        product = buffer_view(buffers[2], *weights.shape)
                        torch.mul(weights, by_score, out=product)
                        dot = product.sum(-1, keepdim=True) / total
                    by_score.sub_(dot).mul_(weights)
                    slope.baddbmm_(by_score, part.key[:, columns])
                    grad_key[heads, columns].baddbmm_(by_score.mT, block)
                grad_query[heads, :, rows] = slope.mul_(ctx.scale).unflatten(1, (grad.shape[1], -1))
        grad_key.mul_(ctx.scale)
        grads = (grad_query, grad_key, grad_value)
        shaped = (
            g.to(x.dtype).view(x.shape) for g, x in zip(grads, ctx.saved_tensors, strict=False)
        )
        return *shaped, None, None, None
