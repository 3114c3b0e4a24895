"""The panels of a figure, its title, and the notes below the title."""

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
Key = tuple[Any, ...]  # a level for each panel column


@dataclass(frozen=True)
class Panel:
    """One pair of axes with its rows; `key` has its level of each panel column."""

    axes: Axes
    rows: pd.DataFrame
    key: Key
    column: int
    at_bottom: bool

    @property
    def at_left(self) -> bool:
        """Whether the panel is in the first column."""
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

    size   width and height of one panel in inches
    notes  lines below the title
    wrap   False: one panel per combination of levels, all with the same limits; True: only panels
           with rows, in reading order, each with its own axes
    """
    from matplotlib.figure import Figure

    # Two columns make a table of panels, which may have empty cells; `wrap` leaves these out.
    if wrap:
        grid = _wrapped(_present(rows, by))
    else:
        grid = _grid([levels(rows, column) for column in by], size[0])
    # Many panels are a little smaller each, and a figure is never wider than a page.
    n_columns, n_rows = len(grid[0]), len(grid)
    width = min(size[0] * n_columns * (0.72 if n_columns > 2 else 1), max(MAX_INCHES, size[0]))
    height = size[1] * n_rows * (0.78 if n_rows > 1 else 1)
    # The notes must fit into the final width, and each line needs extra height.
    lines = _lines(notes, width + 0.9)
    extra = 0.9 + 0.2 * max(0, len(lines) - 1)
    figure = Figure(figsize=(width + 0.9, height + extra), layout="constrained")
    # Shared limits make panels comparable by eye.
    axes = figure.subplots(
        n_rows,
        n_columns,
        sharex=not wrap,
        sharey=not wrap,
        squeeze=False,
        subplot_kw={"projection": projection},
    )
    # Shorten all titles together: two panels with a long common start must stay distinct.
    panels = []
    keys = [key for row in grid for key in row]
    max_width = max(12, int(0.85 * width / n_columns * 72 / (CHARACTER_WIDTH * TITLE_SIZE)))
    titles = dict(
        zip(keys, distinct_texts([_key_title(by, key) for key in keys], max_width), strict=True)
    )
    # Give each panel the rows of its levels.
    for i, row in enumerate(grid):
        for j, key in enumerate(row):
            chosen = rows
            for column, level in zip(by, key, strict=True):
                chosen = chosen[chosen[column] == level]
            if key:
                axes[i][j].set_title(titles[key])
            # The last row may be shorter: the panel above a gap is the lowest of its column.
            has_panel_below = i + 1 < n_rows and j < len(grid[i + 1])
            if not wrap:
                axes[i][j].tick_params(labelbottom=not has_panel_below)
            panels.append(Panel(axes[i][j], chosen, key, j, not has_panel_below))
        # A row that is not full leaves axes without a panel.
        for spare in axes[i][len(row) :]:
            spare.set_axis_off()
    _add_title(figure, title, lines)
    return figure, panels


def axes_inches(figure: MplFigure, panels: list[Panel]) -> tuple[float, float]:
    """Return the approximate width and height of one pair of axes, without labels and titles."""
    n_columns = 1 + max(panel.column for panel in panels)
    n_rows = sum(panel.at_left for panel in panels)
    return 0.75 * figure.get_figwidth() / n_columns, 0.65 * figure.get_figheight() / n_rows


def _key_title(by: list[str], key: Key) -> str:
    return " · ".join(level_text(c, level) for c, level in zip(by, key, strict=True))


def _lines(notes: Sequence[str], inches: float) -> list[str]:
    """Return the notes as lines: several in a line if they fit, broken only if too long."""
    max_characters = int(inches * 72 / (0.52 * NOTE_SIZE))
    lines: list[str] = []
    for note in map(drawable_text, notes):
        if lines and len(lines[-1]) + 2 + len(note) <= max_characters:
            lines[-1] += f"; {note}"
        else:
            lines += textwrap.wrap(note, max_characters, break_on_hyphens=False) or [""]
    return lines


def _add_title(figure: MplFigure, title: str, lines: list[str]) -> None:
    from matplotlib.text import Annotation

    # Empty lines of the title reserve space for the notes, whose smaller font is another text.
    title_text = figure.suptitle(
        drawable_text(title) + "\n" * len(lines),
        x=0.01,
        ha="left",
        fontsize=15,
        fontweight="bold",
    )
    if lines:
        notes = Annotation(
            "\n".join(lines),
            (0, 0),
            xycoords=title_text,
            va="bottom",
            fontsize=NOTE_SIZE,
            color="#555555",
            annotation_clip=False,
        )
        notes.set_in_layout(False)
        figure.add_artist(notes)


def _grid(keys: list[list[Any]], inches: float) -> list[list[Key]]:
    """Return rows of panels: a table for two keys; for one, rows that fit the page."""
    if len(keys) == 2:
        return [[(a, b) for a in keys[0]] for b in keys[1]]
    if not keys:
        return [[()]]
    flat = [(a,) for a in keys[0]]
    fitting = max(1, int(MAX_INCHES // (inches * 0.72)))
    columns = min(len(flat), fitting, MAX_COLUMNS)
    return [flat[i : i + columns] for i in range(0, len(flat), columns)]


def _present(rows: pd.DataFrame, columns: list[str]) -> list[Key]:
    """Return the combinations of levels that have rows, the last column changing fastest."""
    if not columns:
        return [()]
    order = {column: {v: i for i, v in enumerate(levels(rows, column))} for column in columns}
    keys = rows[columns].drop_duplicates().itertuples(index=False, name=None)
    return sorted(keys, key=lambda key: [order[c][v] for c, v in zip(columns, key, strict=True)])


def _wrapped(keys: list[Key]) -> list[list[Key]]:
    """Return rows of at most 4 panels (6 of more than 16), if possible one first level per row."""
    most = MAX_COLUMNS if len(keys) <= 16 else 6
    run = sum(key[:-1] == keys[0][:-1] for key in keys) if keys[0] else 1
    columns = next((n for n in range(most, 2, -1) if run % n == 0), min(most, run))
    if run > most and run % columns:
        columns = most
    return [keys[i : i + columns] for i in range(0, len(keys), columns)]
