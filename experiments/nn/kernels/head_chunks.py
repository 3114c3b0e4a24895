"""The heads of a tiled attention, some at a time, and the scores of their tiles.

Query heads that share keys and values are rows of the same tile, so nothing is repeated.

Legend of comments: N = batch * n_kv_heads, C of these worked on at a time; G = n_heads /
n_kv_heads; T queries, S keys, d wide.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from experiments.nn.kernels.tiles import Tiles, masked_corner

LOG2_E = math.log2(math.e)
# The largest tile, in rows and keys, that still pays on CPUs with 1 to 2 MiB of L2 cache. Up to
# 2048 keys a block of queries then meets all of its keys at once, which spares rescaling; heads
# are worked on together as long as that makes no larger tile.
MAX_TILE_ROWS, MAX_TILE_KEYS = 128, 2048


@dataclass
class HeadChunk:
    """Some heads' share of a call, all in the dtype that tiles are computed in."""

    heads: slice
    query: Tensor  # (C, G, T, d)
    key: Tensor  # (C, S, d)
    value: Tensor  # (C, S, d)
    mask: Tensor | None  # (B, n_kv_heads, G, T, S), a view
    scale: float
    tiles: Tiles

    def scores(self, query: Tensor, rows: slice, columns: slice, out: Tensor) -> Tensor:
        """The base-2 scores of a tile, -inf where hidden: (C, G * rows, columns)."""
        scores = buffer_view(out, query.shape[0], query.shape[1], columns.stop - columns.start)
        keys = self.key[:, columns].mT
        torch.baddbmm(scores, query, keys, beta=0, alpha=self.scale * LOG2_E, out=scores)
        tile = scores.unflatten(1, (self.query.shape[1], -1))  # (C, G, rows, columns), a view
        if self.tiles.causal:
            mask_future(tile, rows, columns)
        if self.mask is not None:
            n_kv_heads = self.mask.shape[1]
            heads = torch.arange(self.heads.start, self.heads.stop, device=tile.device)
            part = self.mask[:, :, :, rows, columns]
            seen = part[heads // n_kv_heads, heads % n_kv_heads]
            tile.masked_fill_(~seen, -math.inf)
        return scores


def mask_future(tile: Tensor, rows: slice, columns: slice) -> None:
    """Set scores (..., rows, columns) of keys after their query to -inf, in place."""
    corner = masked_corner(rows, columns)
    if corner is not None:
        first, diagonal = corner
        hidden = tile[..., first:]
        future = torch.ones(hidden.shape[-2:], dtype=torch.bool, device=tile.device)
        hidden.masked_fill_(future.triu_(diagonal), -math.inf)


def flatten_groups(block: Tensor) -> Tensor:
    """(C, G, rows, d) -> (C, G * rows, d): the heads of a group as rows; a view if G is 1."""
    return block.flatten(1, 2)


def buffer_view(buffer: Tensor, *shape: int) -> Tensor:
    """The start of a flat buffer as a contiguous tensor of a shape."""
    return buffer[: math.prod(shape)].view(shape)


def split_heads(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, tiles: Tiles
) -> tuple[Iterator[HeadChunk], int]:
    """The heads, a few at a time, and how many scores their largest tile has."""
    batch, n_heads, time, d_head = query.shape
    n_kv_heads, source = key.shape[1:3]
    dtype = torch.promote_types(query.dtype, torch.float32)
    query = query.reshape(batch * n_kv_heads, -1, time, d_head)
    key, value = (x.reshape(batch * n_kv_heads, source, d_head) for x in (key, value))
    if mask is not None:
        mask = mask.expand(batch, n_heads, time, source).unflatten(1, (n_kv_heads, -1))
    one = query.shape[1] * min(tiles.block_q, time) * min(tiles.block_k, source)
    at_once = min(len(query), max(1, MAX_TILE_ROWS * MAX_TILE_KEYS // max(one, 1)))

    def parts() -> Iterator[HeadChunk]:
        for start in range(0, len(query), at_once):
            heads = slice(start, min(start + at_once, len(query)))
            q, k, v = (x[heads].to(dtype) for x in (query, key, value))
            yield HeadChunk(heads, q, k, v, mask, scale, tiles)

    return parts(), one * at_once
