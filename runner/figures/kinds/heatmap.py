"""Final values, or the history, as colours over two axes."""

import numpy as np
from matplotlib.figure import Figure

from runner.figures import canvas, ticks
from runner.figures.cells import paint_cells
from runner.figures.data import CannotDrawError, Records
from runner.figures.notes import notes
from runner.figures.panels import axes_inches, panels
from runner.figures.spec import FigureSpec
from runner.figures.templates import levels
from runner.stats.bands import mean_bands


def heatmap(spec: FigureSpec, records: Records) -> Figure:
    """Means over seeds, or the first seed; x is the step (history) or a placeholder (results).

    A cell that lacks a seed stays white.
    """
    assert spec.x is not None
    assert spec.y is not None
    rows = records.rows(spec)
    xs, ys = levels(rows, spec.x), levels(rows, spec.y)
    size = (
        max(5.4, 2 + ticks.inches_for(xs)) + 0.6 * ticks.widest_inches(ys),
        1.6
        + max(0.28 * min(len(ys), 14), 1.1 * ticks.inches_for(ys))
        + 0.6 * ticks.widest_inches(xs),
    )
    told = notes(records, spec, rows)
    figure, made = panels(rows, spec, size=size, notes=told)
    width, height = axes_inches(figure, made)
    width -= ticks.widest_inches(ys) / max(1, len({panel.column for panel in made}))
    tables = []
    for panel in made:
        means = mean_bands(panel.rows, [spec.x, spec.y], seeds=records.counted(spec))
        cells = means.pivot(index=spec.y, columns=spec.x, values="mean")
        tables.append(cells.reindex(index=ys, columns=xs).to_numpy(float))
        x_rest = ticks.set_ticks(panel.axes.xaxis, xs, width)
        y_rest = ticks.set_ticks(panel.axes.yaxis, ys, height)
    if not any(np.isfinite(table).any() for table in tables):
        raise CannotDrawError(f"no cell has a value of every seed ({'; '.join(told)})")
    label = spec.colour_label or records.axis(spec, rows)
    paint_cells(figure, made, tables, log=spec.log == "y", label=label)
    x_label = spec.x_label or ("training step" if spec.x == "step" else spec.x)
    y_label = spec.y_label or spec.y
    canvas.axis_labels(
        figure, made, ticks.with_rest(x_label, x_rest), ticks.with_rest(y_label, y_rest)
    )
    return figure
