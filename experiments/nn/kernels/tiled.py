"""Attention by tiles in plain PyTorch, whose memory is linear in the lengths, also with gradients.

The forward pass holds one tile of scores at a time (FlashAttention, Dao 2022). The backward pass
recomputes each tile from the inputs and from two numbers for each row.

Legend of shapes: batch, n_heads, n_kv_heads, time, source and d_head as in `shapes`. Comments write
N, C, G, T, S and d as in `head_chunks`.
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
    """Return the result of `naive_attention` with memory linear in time and source.

    A tile has `block_q` positions of queries and `block_k` positions of keys; None chooses fast
    sizes. The other arguments are those of `AttentionKernel`. Inputs below float32 are computed in
    float32. There are no second derivatives.
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
    """Return the tiles of `tiled_attention` for these inputs."""
    # The query heads of a group are rows of one tile, so a block has fewer positions.
    heads_per_group = query.shape[1] // key.shape[1]
    rows = max(1, MAX_TILE_ROWS // heads_per_group) if block_q is None else block_q
    return Tiles(
        query.shape[2], key.shape[2], rows, MAX_TILE_KEYS if block_k is None else block_k, causal
    )


class _Tiled(torch.autograd.Function):
    """The autograd function of tiled attention.

    For the backward pass it saves the inputs, the output and two numbers for each row of scores.
    """

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
        """Compute each block of queries against its visible keys, one tile after the other."""
        # Query heads with the same keys are computed together, so keys are never repeated.
        chunks, tile_size = split_heads(query, key, value, mask, scale, tiles)
        shape = (key.shape[0] * key.shape[1], query.shape[1] // key.shape[1], *query.shape[2:])
        mixed = query.new_zeros(shape)  # (N, G, T, d)
        # Maximum and sum of each row, in the dtype of the tiles: enough to recompute the weights.
        dtype = torch.promote_types(query.dtype, torch.float32)
        row_stats = query.new_empty((*shape[:-1], 2), dtype=dtype)  # (N, G, T, 2)
        # One buffer holds the scores of every tile in turn.
        buffer = row_stats.new_empty(tile_size)
        for chunk in chunks:
            # Each block of queries has a softmax of its own, so only its sums are in memory.
            for rows in tiles.rows():
                block, softmax = flatten_groups(chunk.query[:, :, rows]), OnlineSoftmax()
                # Keys that causal order hides from the whole block are skipped.
                for columns in tiles.columns(rows):
                    scores = chunk.scores(block, rows, columns, buffer)
                    softmax.add(scores, chunk.value[:, columns])
                # The heads of a group, which were rows of the tile, get their axis again.
                means, row_stats[chunk.heads, :, rows] = (
                    x.unflatten(1, (shape[1], -1)) for x in softmax.finish()
                )
                mixed[chunk.heads, :, rows] = means
        mixed = mixed.view(query.shape)
        ctx.save_for_backward(query, key, value, mask, mixed, row_stats)
        ctx.scale, ctx.tiles = scale, tiles
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of query, key and value (Dao 2022, algorithm 4).

        Q, K, V and O are the inputs and the output, S = scale Q K' and P = softmax(S). The gradient
        of X is dX, and the transpose of X is X':

            dV = P' dO
            dP = dO V'
            dS = P * (dP - D)
            dQ = scale dS K
            dK = scale dS' Q

        D is the row sum of P * dP, which equals the row sum of dO * O up to rounding. Dao uses the
        second, which needs no tile. The first halves the error of dQ; it is used when a tile has
        all keys of its rows.
        """
        query, key, value, mask, mixed, row_stats = ctx.saved_tensors
        chunks, tile_size = split_heads(query, key, value, mask, ctx.scale, ctx.tiles)
        grad = grad.reshape(*row_stats.shape[:-1], -1)  # dO, (N, G, T, d)
        # D from the output, for all rows at once: (N, G, T, 1).
        row_dots = (grad.to(row_stats.dtype) * mixed.reshape(grad.shape)).sum(-1, keepdim=True)
        # dQ is written block by block. dK and dV sum over blocks of queries, so they start at 0.
        grad_query = torch.empty_like(grad)
        key_shape = (row_stats.shape[0], *key.shape[2:])  # (N, S, d)
        grad_key, grad_value = (row_stats.new_zeros(key_shape) for _ in range(2))
        # Buffers of one tile: P, dS, and P * dP if D is computed from it.
        buffers = row_stats.new_empty(2 + ctx.tiles.whole_rows, tile_size)
        for chunk in chunks:
            heads = chunk.heads
            for rows in ctx.tiles.rows():
                block = flatten_groups(chunk.query[:, :, rows])
                largest, total = flatten_groups(row_stats[heads, :, rows]).split(1, dim=-1)
                # P = exp2(log2(e) S - m) / l. `weights` below are l P: dO and D, which are smaller
                # than a tile, are divided by l instead.
                grad_rows, dot = (
                    flatten_groups(x[heads, :, rows]) / total for x in (grad, row_dots)
                )
                grad_block = torch.zeros_like(block)
                for columns in ctx.tiles.columns(rows):
                    # Recompute the weights with the maximum of the whole row: no rescaling here.
                    weights = chunk.scores(block, rows, columns, buffers[0]).sub_(largest).exp2_()
                    # dV = P' dO
                    grad_value[heads, columns].baddbmm_(weights.mT, grad_rows)
                    # dP / l = (dO / l) V'
                    grad_scores = buffer_view(buffers[1], *weights.shape)
                    torch.bmm(grad_rows, chunk.value[:, columns].mT, out=grad_scores)
                    # D / l from P * dP, the more exact sum, if the tile has all keys of its rows.
                    if ctx.tiles.whole_rows:
                        product = buffer_view(buffers[2], *weights.shape)
                        torch.mul(weights, grad_scores, out=product)
                        dot = product.sum(-1, keepdim=True) / total
                    # dS = P * (dP - D): the factors l and 1 / l cancel. In place in the buffer.
                    grad_scores.sub_(dot).mul_(weights)
                    # dQ and dK without the factor `scale`, which is applied once at the end.
                    grad_block.baddbmm_(grad_scores, chunk.key[:, columns])
                    grad_key[heads, columns].baddbmm_(grad_scores.mT, block)
                grad_query[heads, :, rows] = grad_block.mul_(ctx.scale).unflatten(
                    1, (grad.shape[1], -1)
                )
        grad_key.mul_(ctx.scale)
        # Autograd needs the dtype and shape of each input; mask, scale and tiles have no gradient.
        grads = (grad_query, grad_key, grad_value)
        shaped = (
            g.to(x.dtype).view(x.shape) for g, x in zip(grads, ctx.saved_tensors, strict=False)
        )
        return *shaped, None, None, None
