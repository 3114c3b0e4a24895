"""Attention by tiles: linear memory in both directions, in plain PyTorch.

The forward keeps one tile of scores at a time (Dao 2022, FlashAttention); the backward computes
each tile again from the inputs and one number a row. Query heads that share keys and values are
rows of the same tile, so nothing is repeated.

Legend: batch, n_heads, n_kv_heads, time, source, d_head as in `kernels_shapes`; in comments N is
batch * n_kv_heads, C of these worked on at a time, G = n_heads / n_kv_heads.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from experiments.nn.kernels_online import OnlineSoftmax
from experiments.nn.kernels_shapes import check
from experiments.nn.kernels_tiles import Tiles, hidden_corner

LOG2_E = math.log2(math.e)
# The largest tile, in rows and keys, that still pays on CPUs with 1 to 2 MiB of L2 cache. Up to
# 2048 keys a block of queries then meets all of its keys at once, which spares rescaling; heads
# are worked on together as long as that makes no larger tile.
ROWS, KEYS = 128, 2048


def tiled(
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
    check(query, key, value, mask)
    tiles = tiling(query, key, causal=causal, block_q=block_q, block_k=block_k)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    mixed: Tensor = _Tiled.apply(query, key, value, mask, scale, tiles)
    return mixed


def tiling(
    query: Float[Tensor, "batch n_heads time d_head"],
    key: Float[Tensor, "batch n_kv_heads source d_head"],
    *,
    causal: bool,
    block_q: int | None = None,
    block_k: int | None = None,
) -> Tiles:
    """The tiles that `tiled` works through."""
    groups = query.shape[1] // key.shape[1]
    rows = max(1, ROWS // groups) if block_q is None else block_q
    return Tiles(query.shape[2], key.shape[2], rows, KEYS if block_k is None else block_k, causal)


@dataclass
class _Work:
    """Some heads' share of a call, all in the dtype that tiles are computed in."""

    heads: slice
    query: Tensor  # (C, G, T, d)
    key: Tensor  # (C, S, d)
    value: Tensor  # (C, S, d)
    mask: Tensor | None  # (B, n_kv_heads, G, T, S), a view
    scale: float
    tiles: Tiles

    def scaled(self, rows: slice) -> Tensor:
        """A block of queries, times scale and log2 e."""
        return fold(self.query[:, :, rows]) * (self.scale * LOG2_E)

    def scores(self, query: Tensor, rows: slice, columns: slice, out: Tensor) -> Tensor:
        """The base-2 scores of a tile, -inf where hidden: (C, G * rows, columns)."""
        scores = room(out, query.shape[0], query.shape[1], columns.stop - columns.start)
        torch.bmm(query, self.key[:, columns].mT, out=scores)
        tile = scores.unflatten(1, (self.query.shape[1], -1))  # (C, G, rows, columns), a view
        if self.tiles.causal:
            hide_future(tile, rows, columns)
        if self.mask is not None:
            n_kv_heads = self.mask.shape[1]
            heads = torch.arange(self.heads.start, self.heads.stop, device=tile.device)
            part = self.mask[:, :, :, rows, columns]
            seen = part[heads // n_kv_heads, heads % n_kv_heads]
            tile.masked_fill_(~seen, -math.inf)
        return scores


def hide_future(tile: Tensor, rows: slice, columns: slice) -> None:
    """Set scores (..., rows, columns) of keys after their query to -inf, in place."""
    corner = hidden_corner(rows, columns)
    if corner is not None:
        first, diagonal = corner
        hidden = tile[..., first:]
        future = torch.ones(hidden.shape[-2:], dtype=torch.bool, device=tile.device)
        hidden.masked_fill_(future.triu_(diagonal), -math.inf)


def fold(block: Tensor) -> Tensor:
    """(C, G, rows, d) -> (C, G * rows, d): the heads of a group as rows; a view if G is 1."""
    return block.flatten(1, 2)


def room(buffer: Tensor, *shape: int) -> Tensor:
    """The start of a flat buffer as a contiguous tensor of a shape."""
    return buffer[: math.prod(shape)].view(shape)


def work(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, tiles: Tiles
) -> tuple[Iterator[_Work], int]:
    """The heads, a few at a time, and how many scores their largest tile has."""
    batch, n_heads, time, d_head = query.shape
    n_kv_heads, source = key.shape[1:3]
    dtype = torch.promote_types(query.dtype, torch.float32)
    query = query.reshape(batch * n_kv_heads, -1, time, d_head)
    key, value = (x.reshape(batch * n_kv_heads, source, d_head) for x in (key, value))
    if mask is not None:
        mask = mask.expand(batch, n_heads, time, source).unflatten(1, (n_kv_heads, -1))
    one = query.shape[1] * min(tiles.block_q, time) * min(tiles.block_k, source)
    at_once = min(len(query), max(1, ROWS * KEYS // max(one, 1)))

    def parts() -> Iterator[_Work]:
        for start in range(0, len(query), at_once):
            heads = slice(start, min(start + at_once, len(query)))
            q, k, v = (x[heads].to(dtype) for x in (query, key, value))
            yield _Work(heads, q, k, v, mask, scale, tiles)

    return parts(), one * at_once


class _Tiled(torch.autograd.Function):
    """Saves the inputs, the output and a number a row."""

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
        parts, size = work(query, key, value, mask, scale, tiles)
        grouped = (key.shape[0] * key.shape[1], query.shape[1] // key.shape[1], *query.shape[2:])
        mixed = query.new_zeros(grouped)
        normaliser = query.new_empty(
            (*grouped[:-1], 1), dtype=torch.promote_types(query.dtype, torch.float32)
        )
        buffer = normaliser.new_empty(size)
        for part in parts:
            for rows in tiles.rows():
                scaled, softmax = part.scaled(rows), OnlineSoftmax()
                for columns in tiles.columns(rows):
                    scores = part.scores(scaled, rows, columns, buffer)
                    softmax.add(scores, part.value[:, columns])
                means, logs = (x.unflatten(1, (grouped[1], -1)) for x in softmax.finish())
                mixed[part.heads, :, rows] = means
                normaliser[part.heads, :, rows] = logs
        mixed = mixed.view(query.shape)
        ctx.save_for_backward(query, key, value, mask, mixed, normaliser)
        ctx.scale, ctx.tiles = scale, tiles
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Dao 2022, algorithm 4: with P the weights and D the row sums of grad * output.

        dV = P' grad, dS = P * (grad V' - D), dQ = scale dS K, dK = scale dS' Q.
        """
        query, key, value, mask, mixed, normaliser = ctx.saved_tensors
        parts, size = work(query, key, value, mask, ctx.scale, ctx.tiles)
        grad = grad.reshape(*normaliser.shape[:-1], -1)  # (N, G, T, d)
        dots = (grad.to(normaliser.dtype) * mixed.reshape(grad.shape)).sum(-1, keepdim=True)
        grad_query = torch.empty_like(grad)
        flat = (normaliser.shape[0], *key.shape[2:])
        grad_key, grad_value = (normaliser.new_zeros(flat) for _ in range(2))
        buffers = normaliser.new_empty(2, size)
        for part in parts:
            heads = part.heads
            for rows in ctx.tiles.rows():
                scaled = part.scaled(rows)
                upstream = fold(grad[heads, :, rows]).to(scaled.dtype)
                logs, dot = (fold(x[heads, :, rows]) for x in (normaliser, dots))
                slope = torch.zeros_like(scaled)
                for columns in ctx.tiles.columns(rows):
                    weights = part.scores(scaled, rows, columns, buffers[0]).sub_(logs).exp2_()
                    grad_value[heads, columns].baddbmm_(weights.mT, upstream)
                    by_score = room(buffers[1], *weights.shape)
                    torch.bmm(upstream, part.value[:, columns].mT, out=by_score)
                    by_score.sub_(dot).mul_(weights)
                    slope.baddbmm_(by_score, part.key[:, columns])
                    grad_key[heads, columns].baddbmm_(by_score.mT, scaled)
                grad_query[heads, :, rows] = slope.mul_(ctx.scale).unflatten(1, (grad.shape[1], -1))
        # The queries that made grad_key carry scale * log2 e.
        grad_key.mul_(1 / LOG2_E)
        grads = (grad_query, grad_key, grad_value)
        shaped = (
            g.to(x.dtype).view(x.shape) for g, x in zip(grads, ctx.saved_tensors, strict=False)
        )
        return *shaped, None, None, None
