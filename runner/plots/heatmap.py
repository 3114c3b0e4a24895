"""Final values, or the history, as colours over two axes."""

from matplotlib.figure import Figure

from runner.plots import canvas
from runner.plots.cells import number_ticks, paint_cells
from runner.plots.data import Records, seed_note
from runner.plots.figures import FigureSpec
from runner.plots.panels import panels
from runner.plots.templates import levels
from runner.stats.bands import mean_bands


def heatmap(spec: FigureSpec, records: Records) -> Figure:
    """Means over seeds, or the first seed; x is the step (history) or a placeholder (results)."""
    assert spec.x is not None
    assert spec.y is not None
    rows = records.rows(spec)
    xs, ys = levels(rows, spec.x), levels(rows, spec.y)
    size = (5.4, 1.6 + 0.28 * min(len(ys), 14))
    figure, made = panels(rows, spec, size=size, note=seed_note(rows, spec))
    tables = []
    for panel in made:
        cells = mean_bands(panel.rows, [spec.x, spec.y]).pivot(
            index=spec.y, columns=spec.x, values="mean"
        )
        tables.append(cells.reindex(index=ys, columns=xs).to_numpy(float))
        number_ticks(panel.axes.xaxis, xs)
        number_ticks(panel.axes.yaxis, ys)
    label = spec.colour_label or records.axis(spec, rows)
    paint_cells(figure, made, tables, log=spec.log == "y", label=label)
    x_label = spec.x_label or ("training step" if spec.x == "step" else spec.x)
    canvas.axis_labels(figure, made, x_label, spec.y_label or spec.y)
    return figure
