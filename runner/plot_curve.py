"""Lines over training steps, or over a number in a metric's name."""

import pandas as pd
from matplotlib.figure import Figure

from runner import canvas
from runner.bands import mean_bands
from runner.figures import FigureSpec, levels
from runner.plot_data import NothingToDrawError, Records
from runner.plot_labels import label_line_ends


def curve(spec: FigureSpec, records: Records) -> Figure:
    """Means over seeds as lines with their 95 % band and a thin line per seed.

    x is the training step (history), or a placeholder whose values are numbers (final results).
    """
    x, hue = spec.x or "step", spec.hue or "arm"
    frame = records.history if x == "step" else records.results
    rows = records.matching(frame, spec.metric, spec)
    if not pd.api.types.is_numeric_dtype(rows[x]):
        raise NothingToDrawError(f"x={x!r} of {spec.metric!r} must be numbers to draw a curve")
    figure, made = canvas.panels(rows, spec, size=(7.6, 4.6))
    paint = records.paint(rows, hue)
    for panel in made:
        axes, shown = panel.axes, levels(panel.rows, hue)
        ends = []
        for _, thin in panel.rows.groupby([hue, "arm", "seed"], sort=False):
            thin = thin.sort_values(x)
            level = thin[hue].iloc[0]
            axes.plot(thin[x], thin["value"], color=paint.colour(level), alpha=0.28, linewidth=0.7)
        for level in shown:
            band = mean_bands(panel.rows[panel.rows[hue] == level], [x]).sort_values(x)
            colour = paint.colour(level)
            axes.fill_between(
                band[x], band["low"], band["high"], color=colour, alpha=0.16, linewidth=0
            )
            axes.plot(band[x], band["mean"], color=colour, linestyle=paint.line(level), linewidth=2)
            ends.append((canvas.name(hue, level), colour, band[x].iloc[-1], band["mean"].iloc[-1]))
        axes.margins(x=0.015)
        canvas.log_axes(axes, spec.log)
        canvas.reference_line(axes, spec, labelled=panel is made[0])
        if len(made) == 1:
            label_line_ends(axes, ends, height=figure.get_figheight() * 0.75)
    if len(made) > 1:
        canvas.legend(figure, paint, levels(rows, hue), hue)
    label = spec.x_label or ("training step" if x == "step" else x)
    canvas.axis_labels(figure, made, label, spec.y_label or records.axis(spec.metric, rows))
    return figure
