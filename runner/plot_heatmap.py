"""Means as colours over two axes, on one scale for all panels."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from runner import canvas
from runner.bands import mean_bands
from runner.figures import FigureSpec, levels
from runner.plot_data import NothingToDrawError, Records


def heatmap(spec: FigureSpec, records: Records) -> Figure:
    """Means over seeds; x is the step (history) or a placeholder (final results)."""
    assert spec.x is not None
    assert spec.y is not None
    frame = records.history if spec.x == "step" else records.results
    rows = records.matching(frame, spec.metric, spec)
    if "arm" not in spec.panel and "arm" not in (spec.x, spec.y) and rows["arm"].nunique() > 1:
        raise NothingToDrawError(
            f"a heat map of {rows['arm'].nunique()} arms needs panel: [arm], or arms: [one]"
        )
    xs, ys = levels(rows, spec.x), levels(rows, spec.y)
    figure, made = canvas.panels(rows, spec, size=(5.4, 1.6 + 0.28 * min(len(ys), 14)))
    tables = []
    for panel in made:
        cells = mean_bands(panel.rows, [spec.x, spec.y]).pivot(
            index=spec.y, columns=spec.x, values="mean"
        )
        tables.append(cells.reindex(index=ys, columns=xs).to_numpy(float))
    everything = np.concatenate([table.ravel() for table in tables])
    lowest, highest = float(np.nanmin(everything)), float(np.nanmax(everything))
    scale = LogNorm if spec.log in ("y", "both") and lowest > 0 else Normalize
    norm = scale(lowest, highest if highest > lowest else lowest + 1e-12)
    for panel, table in zip(made, tables, strict=True):
        axes = panel.axes
        drawn = axes.imshow(
            table, aspect="auto", cmap="viridis", norm=norm, interpolation="nearest"
        )
        axes.grid(visible=False)
        _ticks(axes.xaxis, xs)
        _ticks(axes.yaxis, ys)
        if len(xs) * len(ys) <= 60:
            _write_cells(axes, table, norm, small=len(made) > 2 or len(xs) > 8)
    bar = figure.colorbar(drawn, ax=[panel.axes for panel in made], shrink=0.9, pad=0.02)
    bar.set_label(spec.y_label or records.axis(spec.metric, rows))
    x_label = spec.x_label or ("training step" if spec.x == "step" else spec.x)
    canvas.axis_labels(figure, made, x_label, spec.y)
    return figure


def _ticks(axis: Any, values: list[Any]) -> None:
    every = max(1, -(-len(values) // 9))
    axis.set_ticks(range(0, len(values), every), [str(v) for v in values[::every]])


def _write_cells(axes: Axes, table: np.ndarray, norm: Any, *, small: bool) -> None:
    """Write each cell's value on it, in the ink that shows on its colour."""
    largest = float(np.nanmax(np.abs(table))) if np.isfinite(table).any() else 1.0
    decimals = max(0, 1 - int(np.floor(np.log10(largest)))) if largest > 0 else 0
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            ink = "white" if norm(value) < 0.6 else "black"
            text = f"{value:.{decimals}f}" if 1e-4 < largest < 1e5 else f"{value:.1e}"
            axes.text(j, i, text, ha="center", va="center", color=ink, fontsize=8 if small else 10)
