"""The panels of a figure, its title, and how the levels of a column read."""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Annotation

from runner.plots.figures import FigureSpec
from runner.plots.templates import levels

FONTS = ("DejaVu Sans", "IPAexGothic")
MAX_COLUMNS = 4
MAX_INCHES = 16.0
Key = tuple[Any, ...]  # the level of each panel column


@dataclass(frozen=True)
class Panel:
    """One pair of axes with the rows that belong to it."""

    axes: Axes
    rows: pd.DataFrame
    key: Key
    at_left: bool
    at_bottom: bool


def panels(
    rows: pd.DataFrame,
    spec: FigureSpec,
    *,
    size: tuple[float, float],
    note: str = "",
    wrapped: bool = False,
    projection: str | None = None,
) -> tuple[Figure, list[Panel]]:
    """A figure with one titled pair of axes per panel.

    `size` is width and height of one panel in inches, `note` a second line below the title. All
    panels have the same limits, unless they are `wrapped`: then they stand in reading order, only
    those that have rows, and each has its own axes.
    """
    if wrapped:
        grid = _wrapped(_present(rows, spec.panel))
    else:
        grid = _grid([levels(rows, column) for column in spec.panel], size[0])
    n_columns, n_rows = len(grid[0]), len(grid)
    width = min(size[0] * n_columns * (0.72 if n_columns > 2 else 1), max(MAX_INCHES, size[0]))
    height = size[1] * n_rows * (0.78 if n_rows > 1 else 1)
    figure = Figure(figsize=(width + 0.9, height + 0.9), layout="constrained")
    axes = figure.subplots(
        n_rows,
        n_columns,
        sharex=not wrapped,
        sharey=not wrapped,
        squeeze=False,
        subplot_kw={"projection": projection},
    )
    made = []
    for i, row in enumerate(grid):
        for j, key in enumerate(row):
            chosen = rows
            for column, level in zip(spec.panel, key, strict=True):
                chosen = chosen[chosen[column] == level]
            names = [name(c, level) for c, level in zip(spec.panel, key, strict=True)]
            if names:
                axes[i][j].set_title(" · ".join(names))
            below = i + 1 < n_rows and j < len(grid[i + 1])
            if not wrapped:
                axes[i][j].tick_params(labelbottom=not below)
            made.append(Panel(axes[i][j], chosen, key, j == 0, not below))
        for spare in axes[i][len(row) :]:
            spare.set_axis_off()
    _title(figure, spec.title, note)
    return figure, made


def _title(figure: Figure, title: str, note: str) -> None:
    # The title's own empty line keeps the note's place free of panels.
    shown = figure.suptitle(
        legible(title) + ("\n" if note else ""),
        x=0.01,
        ha="left",
        fontsize=15,
        fontweight="bold",
    )
    if note:
        below = Annotation(
            legible(note),
            (0, 0),
            xycoords=shown,
            va="bottom",
            fontsize=11.5,
            color="#555555",
            annotation_clip=False,
        )
        below.set_in_layout(False)
        figure.add_artist(below)


def _grid(keys: list[list[Any]], inches: float) -> list[list[Key]]:
    """Panels in rows: two keys make a table of panels, one is wrapped to fit the page."""
    if len(keys) == 2:
        return [[(a, b) for a in keys[0]] for b in keys[1]]
    if not keys:
        return [[()]]
    flat = [(a,) for a in keys[0]]
    fitting = max(1, int(MAX_INCHES // (inches * 0.72)))
    columns = min(len(flat), fitting, MAX_COLUMNS)
    return [flat[i : i + columns] for i in range(0, len(flat), columns)]


def _present(rows: pd.DataFrame, columns: list[str]) -> list[Key]:
    """The combinations that have rows, the last column running fastest."""
    if not columns:
        return [()]
    place = {column: {v: i for i, v in enumerate(levels(rows, column))} for column in columns}
    found = rows[columns].drop_duplicates().itertuples(index=False, name=None)
    return sorted(found, key=lambda key: [place[c][v] for c, v in zip(columns, key, strict=True)])


def _wrapped(keys: list[Key]) -> list[list[Key]]:
    """Rows of at most four, or six where there are many; if possible each holds one first level."""
    most = MAX_COLUMNS if len(keys) <= 16 else 6
    run = sum(key[:-1] == keys[0][:-1] for key in keys) if keys[0] else 1
    columns = next((n for n in range(most, 2, -1) if run % n == 0), min(most, run))
    if run > most and run % columns:
        columns = most
    return [keys[i : i + columns] for i in range(0, len(keys), columns)]


def name(column: str, level: Any) -> str:
    """How a level reads: `expert 3`, but `code` and not `label code`."""
    text = f"{column} {level}" if isinstance(level, (int, np.integer, float)) else str(level)
    return legible(text)


def legible(text: str) -> str:
    """The text with a box for each character that no font of ours has; for use in `canvas.style()`.

    Matplotlib would warn about every such character, and texts come from anybody's data.
    """
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character == "\n":
        return "\\n"
    if unicodedata.category(character) == "Zs":
        return " "
    return character if ord(character) in _glyphs() else "\N{WHITE SQUARE}"


@cache
def _glyphs() -> frozenset[int]:
    files = [findfont(FontProperties(family=family)) for family in FONTS]
    return frozenset(code for file in files for code in get_font(file).get_charmap())
