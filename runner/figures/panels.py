"""The panels of a figure and the grid that they are in."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from runner.figures.canvas import TEXT_SIZE, WIDTH
from runner.figures.mpl import Axes
from runner.figures.templates import levels
from runner.figures.texts import CHARACTER_WIDTH, distinct_texts, level_text, text_width

Key = tuple[Any, ...]  # a level for each panel column
Grid = list[list[Key]]  # rows of panels


@dataclass(frozen=True)
class Panel:
    """One pair of axes with its rows; `key` has its level of each panel column."""

    axes: Axes
    rows: pd.DataFrame
    key: Key
    row: int
    column: int
    at_bottom: bool

    @property
    def at_left(self) -> bool:
        """Whether the panel is in the first column."""
        return self.column == 0


def lay_grid(rows: pd.DataFrame, by: list[str], *, least_width: float, wrap: bool) -> Grid:
    """Return the panels in rows that fit the page.

    Two columns `by` give a table, unless it is too wide: then each level of the second has rows of
    its own. With `wrap`, combinations without rows of the data are left out.
    """
    most = max(1, int((WIDTH - 0.9) / least_width))
    if wrap:
        return _runs(present_keys(rows, by), most)
    keys = [levels(rows, column) for column in by]
    if not keys:
        return [[()]]
    if len(keys) == 1:
        return _balanced([(a,) for a in keys[0]], most)
    if len(keys[0]) <= most:
        return [[(a, b) for a in keys[0]] for b in keys[1]]
    return [row for b in keys[1] for row in _balanced([(a, b) for a in keys[0]], most)]


def present_keys(rows: pd.DataFrame, columns: list[str]) -> list[Key]:
    """Return the combinations of levels that have rows, the last column changing fastest."""
    if not columns:
        return [()]
    order = {column: {v: i for i, v in enumerate(levels(rows, column))} for column in columns}
    keys = rows[columns].drop_duplicates().itertuples(index=False, name=None)
    return sorted(keys, key=lambda key: [order[c][v] for c, v in zip(columns, key, strict=True)])


def select_panel(rows: pd.DataFrame, by: list[str], key: Key) -> pd.DataFrame:
    """Return the rows of one panel."""
    for column, level in zip(by, key, strict=True):
        rows = rows[rows[column] == level]
    return rows


def key_titles(by: list[str], keys: list[Key], inches: float) -> dict[Key, str]:
    """Return the title of each panel of this width, in two lines if one is too narrow.

    Titles with a long common start stay distinct.
    """
    longest = max(12, int(0.95 * inches * 72 / (CHARACTER_WIDTH * TEXT_SIZE)))
    parts = [[level_text(c, v) for c, v in zip(by, key, strict=True)] for key in keys]
    fits = all(text_width(" · ".join(texts)) <= longest for texts in parts)
    lines = [[" · ".join(texts)] for texts in parts] if fits else parts
    columns = [distinct_texts(column, longest) for column in zip(*lines, strict=True)]
    return dict(zip(keys, map("\n".join, zip(*columns, strict=True)), strict=True))


def _balanced(keys: list[Key], most: int) -> Grid:
    """Return rows of at most `most` panels, about equally full."""
    n_rows = -(-len(keys) // most)
    columns = -(-len(keys) // n_rows)
    return [keys[i : i + columns] for i in range(0, len(keys), columns)]


def _runs(keys: list[Key], most: int) -> Grid:
    """Return rows of at most `most` panels, if possible with whole runs of one first level."""
    run = sum(key[:-1] == keys[0][:-1] for key in keys) if keys[0] else 1
    columns = next((n for n in range(min(most, run), 1, -1) if run % n == 0), 0)
    if not columns or columns < most / 2:
        return _balanced(keys, most)
    return [keys[i : i + columns] for i in range(0, len(keys), columns)]
