"""The chunks of heads that tiled attention computes at the same time, and the scores of a tile.

Query heads that share keys and values are rows of the same tile, so no key is repeated.

Legend of shapes, in comments:
    B: batch.
    N: all key heads of a batch, batch * n_kv_heads.
    C: key heads of a chunk.
    G: query heads that share a key head, n_heads / n_kv_heads.
    T, S: positions of queries and of keys.
    d: width of a head, d_head.
    rows, columns: queries and keys of a tile.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from experiments.nn.kernels.tiles import Tiles, masked_corner

LOG2_E = math.log2(math.e)
# The largest tile that is still fast on CPUs with 1 to 2 MiB of L2 cache. With up to 2048 keys, one
# tile holds all keys of a block of queries, so the online softmax never rescales. A chunk has as
# many heads as fit into a tile of this size.
MAX_TILE_ROWS, MAX_TILE_KEYS = 128, 2048


@dataclass
class HeadChunk:
    """The inputs of some key heads and of the query heads that share them.

    Attributes:
        heads: the key heads of the chunk, among all N.
        query: (C, G, T, d), in float32 or a wider dtype, as are key and value.
        key, value: (C, S, d).
        mask: (B, n_kv_heads, G, T, S), a view of the whole mask, True at visible keys; or None.
        scale: the factor on scores.
        tiles: the tiles of the score matrix.
    """

    heads: slice
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scale: float
    tiles: Tiles

    def scores(self, query: Tensor, rows: slice, columns: slice, out: Tensor) -> Tensor:
        """Return the scores of a tile times log2(e), -inf at hidden keys: (C, G * rows, columns).

        `query` has the rows of the tile, (C, G * rows, d). The scores are a view of the flat buffer
        `out`, so no tile allocates memory.
        """
        scores = buffer_view(out, query.shape[0], query.shape[1], columns.stop - columns.start)
        keys = self.key[:, columns].mT
        # Product and scaling in one call; beta=0 ignores the old contents of the buffer.
        torch.baddbmm(scores, query, keys, beta=0, alpha=self.scale * LOG2_E, out=scores)
        # Order and mask depend on the query's position: the heads of a group get an axis again.
        tile = scores.unflatten(1, (self.query.shape[1], -1))  # (C, G, rows, columns), a view
        if self.tiles.causal:
            mask_future(tile, rows, columns)
        if self.mask is not None:
            # Flattening batch and heads would copy a mask that is broadcast over them. An index
            # selects the chunk's heads instead.
            n_kv_heads = self.mask.shape[1]
            heads = torch.arange(self.heads.start, self.heads.stop, device=tile.device)
            tile_mask = self.mask[:, :, :, rows, columns]
            visible = tile_mask[heads // n_kv_heads, heads % n_kv_heads]
            tile.masked_fill_(~visible, -math.inf)
        return scores


def mask_future(tile: Tensor, rows: slice, columns: slice) -> None:
    """Set scores (..., rows, columns) to -inf at keys after their query, in place."""
    corner = masked_corner(rows, columns)
    if corner is not None:
        first, diagonal = corner
        hidden = tile[..., first:]
        future = torch.ones(hidden.shape[-2:], dtype=torch.bool, device=tile.device)
        hidden.masked_fill_(future.triu_(diagonal), -math.inf)


def flatten_groups(block: Tensor) -> Tensor:
    """Return (C, G, rows, d) as (C, G * rows, d): the heads of a group are rows of one tile.

    The result is a view if G is 1.
    """
    return block.flatten(1, 2)


def buffer_view(buffer: Tensor, *shape: int) -> Tensor:
    """Return the start of a flat buffer as a contiguous tensor of this shape."""
    return buffer[: math.prod(shape)].view(shape)


def split_heads(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, tiles: Tiles
) -> tuple[Iterator[HeadChunk], int]:
    """Return the chunks of heads, and the number of scores in their largest tile.

    Shapes of the inputs are those of `AttentionKernel`.
    """
    batch, n_heads, time, d_head = query.shape
    n_kv_heads, source = key.shape[1:3]
    dtype = torch.promote_types(query.dtype, torch.float32)
    # Batch and key heads are independent problems, so they share one axis N. Neighbouring query
    # heads share a key head, so a reshape groups them.
    query = query.reshape(batch * n_kv_heads, -1, time, d_head)  # (N, G, T, d)
    key, value = (x.reshape(batch * n_kv_heads, source, d_head) for x in (key, value))  # (N, S, d)
    if mask is not None:
        # A view: a mask that is broadcast needs no memory.
        mask = mask.expand(batch, n_heads, time, source).unflatten(1, (n_kv_heads, -1))
    # The overhead of a call is large for a small tile. So as many key heads are computed together
    # as fit into one tile of the largest size, and at least one.
    scores_per_head = query.shape[1] * min(tiles.block_q, time) * min(tiles.block_k, source)
    n_together = min(len(query), max(1, MAX_TILE_ROWS * MAX_TILE_KEYS // max(scores_per_head, 1)))

    # A generator: only the chunk in use has a copy in the wider dtype.
    def chunks() -> Iterator[HeadChunk]:
        for start in range(0, len(query), n_together):
            heads = slice(start, min(start + n_together, len(query)))
            q, k, v = (x[heads].to(dtype) for x in (query, key, value))
            yield HeadChunk(heads, q, k, v, mask, scale, tiles)

    return chunks(), scores_per_head * n_together
