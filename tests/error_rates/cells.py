"""A cell of a table: a share of simulated studies, and whether it is within its bound."""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from math import inf, isnan, nan, sqrt

import numpy as np
from numpy.random import Generator

WORKERS = 2


@dataclass(frozen=True)
class Share:
    """A number of studies out of `total`; NaN where `total` is 0."""

    hits: int
    total: int

    @classmethod
    def from_hits(cls, hits: np.ndarray) -> "Share":
        return cls(int(hits.sum()), len(hits))

    @property
    def value(self) -> float:
        return self.hits / self.total if self.total else nan


@dataclass(frozen=True)
class Bound:
    """The bound of a share: at most (or at least) `level`, plus (or minus) three standard errors.

    `n_simulated` is the number of studies of a level that is itself the result of a simulation.
    """

    level: float = 0.05
    is_minimum: bool = False
    n_simulated: float = inf

    def holds(self, share: Share) -> bool:
        if isnan(share.value):
            return True
        variance = self.level * (1 - self.level) * (1 / share.total + 1 / self.n_simulated)
        slack = 3 * sqrt(variance)
        return (
            share.value >= self.level - slack
            if self.is_minimum
            else share.value <= self.level + slack
        )


FALSE_RATE_BOUND = Bound()


@dataclass(frozen=True)
class Cell:
    """The simulation of one cell; `run` takes a generator and a number of studies.

    `run` returns shares by name, one for each table in `tables`. The cell is at `row` and `column`
    of these tables. If `is_required` is true, a share outside its bound fails the run.
    """

    tables: Mapping[str, tuple[str, Bound]]  # share's name -> (title of its table, bound)
    row: str
    column: str
    run: Callable[[Generator, int], Mapping[str, Share]]
    is_required: bool = True

    def shares(self, studies: int) -> Mapping[str, Share]:
        """Simulate; the numbers of a cell depend only on its names and the number of studies."""
        names = " ".join([*sorted(title for title, _ in self.tables.values()), self.row])
        return self.run(
            np.random.default_rng(zlib.crc32(f"{names} {self.column}".encode())), studies
        )


@dataclass
class Table:
    """The shares of one table, by row and column, and a line for each share out of bounds."""

    title: str
    shares: dict[tuple[str, str], tuple[Share, bool]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, cell: Cell, share: Share, bound: Bound) -> None:
        is_within = bound.holds(share)
        self.shares[cell.row, cell.column] = share, is_within
        if cell.is_required and not is_within:
            self.failures.append(
                f"{self.title}: {cell.row}, {cell.column}: {share.value:.4f} of {share.total}"
            )

    def markdown(self) -> str:
        """Return the table in percent; a star marks a share outside its bound."""
        rows = list(dict.fromkeys(row for row, _ in self.shares))
        columns = list(dict.fromkeys(column for _, column in self.shares))
        lines = [f"**{self.title}**", "", "| | " + " | ".join(columns) + " |"]
        lines.append("|---|" + "---:|" * len(columns))
        for row in rows:
            row_shares = [self.shares.get((row, column)) for column in columns]
            lines.append("| " + " | ".join([row, *map(percent, row_shares)]) + " |")
        return "\n".join(lines)


def percent(entry: tuple[Share, bool] | None) -> str:
    """Return e.g. "4.8", or "9.1*" outside the bound; "-" where no study has such a number."""
    if entry is None or isnan(entry[0].value):
        return "-"
    share, is_within = entry
    return f"{100 * share.value:.1f}" + ("" if is_within else "*")


def simulate(cells: Sequence[Cell], studies: int, workers: int = WORKERS) -> dict[str, Table]:
    """Return the tables of all cells, in their order."""
    if workers == 1:
        return tabulate(cells, (cell.shares(studies) for cell in cells))
    with ProcessPoolExecutor(workers) as pool:
        return tabulate(cells, pool.map(Cell.shares, cells, [studies] * len(cells)))


def tabulate(cells: Sequence[Cell], cell_shares: Iterable[Mapping[str, Share]]) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    for cell, shares in zip(cells, cell_shares, strict=True):
        for name, (title, bound) in cell.tables.items():
            tables.setdefault(title, Table(title)).add(cell, shares[name], bound)
    return tables
