"""A picture in the making: its panels, title and notes, its text, and its values on hover."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from runner.figures.canvas import DPI, TEXT_SIZE, TITLE_SIZE, WIDTH
from runner.figures.mpl import Axes, MplFigure
from runner.figures.panels import Panel, key_titles, lay_grid, present_keys, select_panel
from runner.figures.texts import drawable_text
from runner.figures.tick_numbers import shorten_tick_numbers

PAD = 0.08  # inches around a picture
MAX_POINTS = 400


@dataclass
class Sheet:
    """A figure of matplotlib of the fixed width, with its parts.

    heights       inches of each row of panels
    shared_label  the label of y that several panels share
    alt           one sentence on the figure's values, for readers who do not see it
    hover         axes, x, y and text of each value that a page shows on hover
    """

    figure: MplFigure
    panels: list[Panel]
    heights: list[float]
    title_text: Any
    n_title_lines: int
    note_text: Any = None
    n_note_lines: int = 0
    shared_label: Any = None
    colour_bar: Axes | None = None
    alt: str = ""
    hover: list[tuple[Axes, float, float, str]] = field(default_factory=list)

    def label_axes(self, x: str, y: str) -> None:
        """Label x below the lowest panels and y once at the left; shorten large tick numbers."""
        x, y = drawable_text(x), drawable_text(y)
        for panel in self.panels:
            shorten_tick_numbers(panel.axes)
            if panel.at_bottom:
                panel.axes.set_xlabel(x)
        if len(self.panels) == 1:
            self.panels[0].axes.set_ylabel(y)
        elif y:
            self.shared_label = self.figure.supylabel(y, fontsize=TEXT_SIZE, ha="left")

    def panel_width(self) -> float:
        """Return the approximate width of one pair of axes in inches."""
        return (WIDTH - 1.1) / (1 + max(panel.column for panel in self.panels)) - 0.25

    def add_hover(self, axes: Axes, x: float, y: float, text: str) -> None:
        """Add a value that a page shows when the pointer is near (x, y), in units of the data."""
        self.hover.append((axes, x, y, text))

    def hover_places(self) -> list[tuple[float, float, str]]:
        """Return the hover values inside the axes as shares of the arranged picture, from above."""
        every = -(-len(self.hover) // MAX_POINTS) or 1
        places = []
        size = self.figure.bbox
        for axes, x, y, text in self.hover[::every]:
            at_x, at_y = axes.transData.transform((x, y))
            inside = axes.bbox
            if inside.x0 - 1 <= at_x <= inside.x1 + 1 and inside.y0 - 1 <= at_y <= inside.y1 + 1:
                places.append((at_x / size.width, 1 - at_y / size.height, text))
        return places


def make_sheet(
    rows: pd.DataFrame,
    by: list[str],
    *,
    title: str,
    heights: tuple[float, float],
    least_width: float = 2.6,
    notes: Sequence[str] = (),
    wrap: bool = False,
    share_x: bool = True,
) -> Sheet:
    """Make a sheet with one titled pair of axes for each level of the columns `by`.

    heights      inches of a panel that is alone in its column, and of one of several
    least_width  inches of the narrowest panel; more panels start another row
    notes        lines below the title
    wrap         False: one panel per combination of levels, all with the same limits; True: only
                 panels with rows, in reading order, each with its own axes
    share_x      whether panels that are not wrapped share the limits of x
    """
    # Two columns make a table of panels, which may have empty cells; `wrap` leaves these out.
    grid = lay_grid(rows, by, least_width=least_width, wrap=wrap)
    n_rows, n_columns = len(grid), max(map(len, grid))
    sheet = start_sheet(title, notes, [heights[n_rows > 1]] * n_rows)
    titles = key_titles(by, [key for row in grid for key in row], (WIDTH - 1) / n_columns)
    with_rows = present_keys(rows, by)
    for i, row in enumerate(grid):
        for j, key in enumerate(row):
            chosen = select_panel(rows, by, key)
            # Shared limits make panels comparable by eye.
            first = sheet.panels[0].axes if sheet.panels and not wrap else None
            axes = sheet.figure.add_axes(
                (0.1, 0.1, 0.8, 0.8),
                sharex=first if share_x else None,
                sharey=first,
                label=f"{i} {j}",
            )
            if key:
                axes.set_title(titles[key])
            # The last row may be shorter: the panel above a gap is the lowest of its column.
            has_panel_below = i + 1 < n_rows and j < len(grid[i + 1])
            if not wrap:
                labels_x = not share_x or not has_panel_below
                axes.tick_params(labelbottom=labels_x, labelleft=j == 0)
            if key not in with_rows and by:
                axes.text(
                    0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color="#555555"
                )
            sheet.panels.append(Panel(axes, chosen, key, i, j, not has_panel_below))
    return sheet


def start_sheet(title: str, notes: Sequence[str], heights: list[float]) -> Sheet:
    """Return a sheet with a title and notes, without panels."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    figure = Figure(figsize=(WIDTH, sum(heights) + 1), dpi=DPI)
    title_lines = _wrapped(title, TITLE_SIZE * 0.66)
    title_text = figure.suptitle(
        "\n".join(title_lines),
        x=PAD / WIDTH,
        ha="left",
        va="top",
        fontsize=TITLE_SIZE,
        fontweight="bold",
    )
    sheet = Sheet(figure, [], heights, title_text, len(title_lines))
    lines = _joined(notes)
    if lines:
        sheet.note_text = Text(
            0, 0, "\n".join(lines), va="top", fontsize=TEXT_SIZE, color="#555555", linespacing=1.25
        )
        figure.add_artist(sheet.note_text)
        sheet.n_note_lines = len(lines)
    return sheet


def _joined(notes: Sequence[str]) -> list[str]:
    """Return the notes as lines: several in a line if they fit, broken only if too long."""
    max_characters = int(WIDTH * 72 / (0.54 * TEXT_SIZE))
    lines: list[str] = []
    for note in notes:
        if lines and len(lines[-1]) + 2 + len(note) <= max_characters:
            lines[-1] += f"; {drawable_text(note)}"
        else:
            lines += _wrapped(note, TEXT_SIZE * 0.54)
    return lines


def _wrapped(text: str, points: float) -> list[str]:
    """Return a text as lines of the picture's width, for a mean width of a character in points."""
    most = int((WIDTH - 2 * PAD) * 72 / points)
    return textwrap.wrap(drawable_text(text), most, break_on_hyphens=False) or [""]
