"""Tables of numbers as coloured cells, with one scale for all panels."""

from typing import Any

import numpy as np

from runner.figures.mpl import Axes
from runner.figures.sheet import Sheet
from runner.figures.texts import drawable_text
from runner.figures.tick_numbers import set_tick_format

MAX_WRITTEN_CELLS = 60  # in a table of at most this size, each cell shows its number


def paint_cells(sheet: Sheet, tables: list[np.ndarray], *, log: bool, label: str) -> None:
    """Colour one table (rows, columns) per panel from top to bottom; NaN stays white."""
    from matplotlib.colors import LogNorm, Normalize

    all_values = np.concatenate([table.ravel() for table in tables])
    lowest, highest = float(np.nanmin(all_values)), float(np.nanmax(all_values))
    scale = LogNorm if log and lowest > 0 else Normalize
    norm = scale(lowest, highest if highest > lowest else lowest + 1e-12)
    for panel, table in zip(sheet.panels, tables, strict=True):
        drawn = panel.axes.imshow(
            table, aspect="auto", cmap="viridis", norm=norm, interpolation="nearest"
        )
        panel.axes.grid(visible=False)
        if table.size <= MAX_WRITTEN_CELLS:
            _write_values(panel.axes, table, norm, small=len(tables) > 2 or table.shape[1] > 8)
    sheet.colour_bar = sheet.figure.add_axes((0.95, 0.1, 0.02, 0.8), label="colour bar")
    bar = sheet.figure.colorbar(drawn, cax=sheet.colour_bar)
    bar.set_label(drawable_text(label))
    if isinstance(norm, LogNorm):
        set_tick_format(bar.ax.yaxis, "{:g}".format)


def _write_values(axes: Axes, table: np.ndarray, norm: Any, *, small: bool) -> None:
    """Write each cell's value on it, white on dark colours and black on light ones."""
    largest = float(np.nanmax(np.abs(table))) if np.isfinite(table).any() else 1.0
    decimals = max(0, 1 - int(np.floor(np.log10(largest)))) if largest > 0 else 0
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            ink = "white" if norm(value) < 0.6 else "black"
            text = f"{value:.{decimals}f}" if 1e-4 < largest < 1e5 else f"{value:.1e}"
            axes.text(j, i, text, ha="center", va="center", color=ink, fontsize=8 if small else 10)
