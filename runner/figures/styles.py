"""Colour, line and marker of each arm, and legends that show them.

No two of the first 24 arms have the same colour and line; 12 markers tell arms apart in grey print.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from runner.figures.canvas import LEGEND_SIZE, PALETTE
from runner.figures.mpl import MplFigure
from runner.figures.texts import CHARACTER_WIDTH, level_texts, text_width

LineStyle = Literal["-", "--", ":", "-."]

LINES: tuple[LineStyle, ...] = ("-", "--", "-.")
APART_LINE: LineStyle = ":"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*", "h")
SAME_LINE = 8  # arms 1 to 8 are solid, arms 9 to 16 dashed, and so on
APART_TITLE = "A/A pairs and controls:"


@dataclass(frozen=True)
class HueStyles:
    """The style of each level of the hue; an arm has the same one in every figure.

    apart  the second arms of A/A pairs, and control arms: they are dotted, have hollow markers, and
           come last in legends
    """

    levels: list[Any]
    apart: frozenset[Any] = frozenset()

    def colour(self, level: Any) -> str:
        """Return the level's colour."""
        return PALETTE[self.levels.index(level) % len(PALETTE)]

    def ink(self, level: Any) -> str:
        """Return the level's colour for text: so dark that its contrast with white is 4.5."""
        return _readable(self.colour(level))

    def line_style(self, level: Any) -> LineStyle:
        """Return the level's line style: dotted for levels in `apart`."""
        if level in self.apart:
            return APART_LINE
        return LINES[self.levels.index(level) // SAME_LINE % len(LINES)]

    def marker(self, level: Any) -> str:
        """Return the level's marker, as matplotlib calls it."""
        index = self.levels.index(level)
        # One further in each round of colours, so that no two of 144 levels share both.
        return MARKERS[(index + index // len(MARKERS)) % len(MARKERS)]

    def marker_face(self, level: Any) -> str:
        """Return the colour inside the level's marker: white for levels in `apart`."""
        return "white" if level in self.apart else self.colour(level)

    def in_order(self, levels: Sequence[Any]) -> list[Any]:
        """Return levels with the levels of `apart` at the end."""
        return sorted(levels, key=lambda level: level in self.apart)


@cache
def _readable(colour: str) -> str:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    # Relative luminance and contrast as in WCAG 2.
    while True:
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        if 1.05 / (linear @ (0.2126, 0.7152, 0.0722) + 0.05) >= 4.5:
            return "#" + "".join(f"{round(c * 255):02X}" for c in channels)
        channels = channels * 0.96


def add_legend(figure: MplFigure, styles: HueStyles, shown_levels: list[Any], hue: str) -> None:
    """Add a legend of lines with markers below all panels; copies and controls have one below."""
    from matplotlib.lines import Line2D

    texts = level_texts(hue, shown_levels)
    for apart in (False, True):
        handles = [
            Line2D(
                [],
                [],
                color=styles.colour(level),
                linestyle=styles.line_style(level),
                marker=styles.marker(level),
                markerfacecolor=styles.marker_face(level),
                markersize=7,
                linewidth=2,
                label=texts[level],
            )
            for level in shown_levels
            if (level in styles.apart) is apart
        ]
        if handles and apart:
            handles.insert(0, Line2D([], [], linestyle="none", label=APART_TITLE))
        if handles:
            _add_rows(figure, handles)


def _add_rows(figure: MplFigure, handles: list[Any]) -> None:
    """Add a legend of rows that fit the width, to be read row by row."""
    inches = figure.get_figwidth() - 0.2
    widths = [
        (text_width(str(handle.get_label())) * CHARACTER_WIDTH * LEGEND_SIZE + 54) / 72
        for handle in handles
    ]
    # In one row, columns are as wide as their own text; in several, take the widest.
    fitting = len(handles) if sum(widths) <= inches else int(inches / max(widths))
    n_columns = max(1, min(len(handles), fitting))
    n_rows = -(-len(handles) // n_columns)
    # A legend fills column by column; entries in reading order need the transposed order.
    by_column = [
        handles[row * n_columns + column]
        for column in range(n_columns)
        for row in range(n_rows)
        if row * n_columns + column < len(handles)
    ]
    figure.legend(
        handles=by_column,
        loc="lower center",
        ncols=n_columns,
        fontsize=LEGEND_SIZE,
        handlelength=2.6,
        columnspacing=1.4,
        borderaxespad=0,
        borderpad=0.1,
    )
