"""The panels of a figure, its title, and the notes below it."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from runner.figures.mpl import Axes, MplFigure
from runner.figures.templates import levels
from runner.figures.texts import CHARACTER_WIDTH, distinct_texts, drawable_text, level_text

MAX_COLUMNS = 4
MAX_INCHES = 16.0
TITLE_SIZE, NOTE_SIZE = 12.5, 11.5  # points, of a panel's title and of the notes
Key = tuple[Any, ...]  # the level of each panel column


@dataclass(frozen=True)
class Panel:
    """One pair of axes with the rows that belong to it."""

    axes: Axes
    rows: pd.DataFrame
    key: Key
    column: int
    at_bottom: bool

    @property
    def at_left(self) -> bool:
        """Whether no panel stands at its left."""
        return self.column == 0


def make_panels(
    rows: pd.DataFrame,
    by: list[str],
    *,
    title: str,
    size: tuple[float, float],
    notes: Sequence[str] = (),
    wrap: bool = False,
    projection: str | None = None,
) -> tuple[MplFigure, list[Panel]]:
    """Make a figure with one titled pair of axes for each level of the columns `by`.

    `size` is width and height of one panel in inches, `notes` stand in lines below the title. All
    panels have the same limits, unless they are `wrap`: then they stand in reading order, only
    those that have rows, and each has its own axes.
    """
    from matplotlib.figure import Figure

    if wrap:
        grid = _wrapped(_present(rows, by))
    else:
        grid = _grid([levels(rows, column) for column in by], size[0])
    n_columns, n_rows = len(grid[0]), len(grid)
    width = min(size[0] * n_columns * (0.72 if n_columns > 2 else 1), max(MAX_INCHES, size[0]))
    height = size[1] * n_rows * (0.78 if n_rows > 1 else 1)
    lines = _lines(notes, width + 0.9)
    extra = 0.9 + 0.2 * max(0, len(lines) - 1)
    figure = Figure(figsize=(width + 0.9, height + extra), layout="constrained")
    axes = figure.subplots(
        n_rows,
        n_columns,
        sharex=not wrap,
        sharey=not wrap,
        squeeze=False,
        subplot_kw={"projection": projection},
    )
    made = []
    keys = [key for row in grid for key in row]
    room = max(12, int(0.85 * width / n_columns * 72 / (CHARACTER_WIDTH * TITLE_SIZE)))
    titles = dict(
        zip(keys, distinct_texts([_key_title(by, key) for key in keys], room), strict=True)
    )
    for i, row in enumerate(grid):
        for j, key in enumerate(row):
            chosen = rows
            for column, level in zip(by, key, strict=True):
                chosen = chosen[chosen[column] == level]
            if key:
                axes[i][j].set_title(titles[key])
            below = i + 1 < n_rows and j < len(grid[i + 1])
            if not wrap:
                axes[i][j].tick_params(labelbottom=not below)
            made.append(Panel(axes[i][j], chosen, key, j, not below))
        for spare in axes[i][len(row) :]:
            spare.set_axis_off()
    _title(figure, title, lines)
    return figure, made


def axes_inches(figure: MplFigure, panels: list[Panel]) -> tuple[float, float]:
    """About what one pair of axes has, when labels and titles have taken theirs."""
    n_columns = 1 + max(panel.column for panel in panels)
    n_rows = sum(panel.at_left for panel in panels)
    return 0.75 * figure.get_figwidth() / n_columns, 0.65 * figure.get_figheight() / n_rows


def _key_title(by: list[str], key: Key) -> str:
    return " · ".join(level_text(c, level) for c, level in zip(by, key, strict=True))


def _lines(notes: Sequence[str], inches: float) -> list[str]:
    """The notes side by side where they fit, none torn apart that fits into a line."""
    room = int(inches * 72 / (0.52 * NOTE_SIZE))
    lines: list[str] = []
    for note in map(drawable_text, notes):
        if lines and len(lines[-1]) + 2 + len(note) <= room:
            lines[-1] += f"; {note}"
        else:
            lines += textwrap.wrap(note, room, break_on_hyphens=False) or [""]
    return lines


def _title(figure: MplFigure, title: str, lines: list[str]) -> None:
    from matplotlib.text import Annotation

    # The title's own empty lines keep the notes' place free of panels.
    shown = figure.suptitle(
        drawable_text(title) + "\n" * len(lines),
        x=0.01,
        ha="left",
        fontsize=15,
        fontweight="bold",
    )
    if lines:
        below = Annotation(
            "\n".join(lines),
            (0, 0),
            xycoords=shown,
            va="bottom",
            fontsize=NOTE_SIZE,
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
