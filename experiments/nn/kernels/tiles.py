"""The tiles of the score matrix, and the tiles that a causal kernel can skip."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Tiles:
    """The tiles of a (time, source) matrix of scores: blocks of queries times blocks of keys.

    The last block is shorter if the block size does not divide the length.

    Attributes:
        time, source: positions of queries and of keys.
        block_q, block_k: positions of a block of queries and of a block of keys.
        causal: skip the keys after the last query of a block.
    """

    time: int
    source: int
    block_q: int
    block_k: int
    causal: bool

    def __post_init__(self) -> None:
        for name in ("block_q", "block_k"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")

    @property
    def whole_rows(self) -> bool:
        """Whether one tile holds all keys of a block of queries."""
        return self.block_k >= self.source

    def rows(self) -> Iterator[slice]:
        """Yield the blocks of queries."""
        for start in range(0, self.time, self.block_q):
            yield slice(start, min(start + self.block_q, self.time))

    def columns(self, rows: slice) -> Iterator[slice]:
        """Yield the blocks of keys that some query of the block `rows` sees."""
        end = min(self.source, rows.stop) if self.causal else self.source
        for start in range(0, end, self.block_k):
            yield slice(start, min(start + self.block_k, end))

    def count_executed(self) -> int:
        """Return the number of tiles that are computed."""
        return sum(1 for rows in self.rows() for _ in self.columns(rows))

    def executed_share(self) -> float:
        """Return computed scores over all scores: (n + 1) / 2n for n x n square causal blocks."""
        computed = sum(
            (rows.stop - rows.start) * (columns.stop - columns.start)
            for rows in self.rows()
            for columns in self.columns(rows)
        )
        return computed / (self.time * self.source)


def masked_corner(rows: slice, columns: slice) -> tuple[int, int] | None:
    """Return the part of a tile that causal order hides, as (first column, diagonal), or None.

    In the tile's columns from the first one on, a score is hidden if `triu(diagonal)` keeps it.
    None: no query of the tile comes before any of its keys.
    """
    # The last key comes no later than the first query: all keys are visible.
    if columns.stop <= rows.start + 1:
        return None
    # Keys before the first query are visible to all rows, so the corner begins after them.
    first = max(columns.start, rows.start)
    return first - columns.start, rows.start - first + 1
