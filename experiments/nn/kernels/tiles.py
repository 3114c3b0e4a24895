"""How the score matrix is cut into tiles, and which of them a causal kernel can leave out."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Tiles:
    """Of a matrix of time x source scores: blocks of queries against blocks of keys.

    The last block of either kind is shorter where block sizes do not divide the lengths. With
    `causal`, keys after the last query of a block are never looked at.
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
        """Whether a block of queries meets all of its keys in one tile."""
        return self.block_k >= self.source

    def rows(self) -> Iterator[slice]:
        """The blocks of queries."""
        for start in range(0, self.time, self.block_q):
            yield slice(start, min(start + self.block_q, self.time))

    def columns(self, rows: slice) -> Iterator[slice]:
        """The blocks of keys that some query of a block sees."""
        end = min(self.source, rows.stop) if self.causal else self.source
        for start in range(0, end, self.block_k):
            yield slice(start, min(start + self.block_k, end))

    def count_executed(self) -> int:
        """How many tiles are computed."""
        return sum(1 for rows in self.rows() for _ in self.columns(rows))

    def executed_share(self) -> float:
        """Computed scores over all scores; (n + 1) / 2n for n square causal blocks a side."""
        computed = sum(
            (rows.stop - rows.start) * (columns.stop - columns.start)
            for rows in self.rows()
            for columns in self.columns(rows)
        )
        return computed / (self.time * self.source)


def masked_corner(rows: slice, columns: slice) -> tuple[int, int] | None:
    """Where order hides scores of a tile: the first column with some, and its diagonal there.

    A score of the tile's columns from the first on is hidden where it lies on or above that
    diagonal, in the sense of `triu`. None: all queries of the tile come after all of its keys.
    """
    if columns.stop <= rows.start + 1:
        return None
    first = max(columns.start, rows.start)
    return first - columns.start, rows.start - first + 1
