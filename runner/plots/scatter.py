"""Two final metrics against each other, such as quality against cost."""

import numpy as np
from matplotlib.figure import Figure

from runner.plots import canvas
from runner.plots.data import CannotDrawError, Records
from runner.plots.figures import FigureSpec
from runner.plots.labels import label_points
from runner.plots.panels import name, panels
from runner.stats.bands import mean_bands


def scatter(spec: FigureSpec, records: Records) -> Figure:
    """A point per arm with both intervals, a dot per seed, the label beside the point."""
    assert spec.x is not None
    ys = records.matching(records.results, spec.metric, spec)
    xs = records.matching(records.results, spec.x, spec)
    pairs = ys.merge(xs[["arm", "seed", "value"]], on=["arm", "seed"], suffixes=("", "_x"))
    if pairs.empty:
        raise CannotDrawError(f"no trial has both {spec.metric!r} and {spec.x!r}")
    figure, made = panels(pairs, spec, size=(7.6, 5.0))
    paint = records.paint(pairs, "arm")
    for panel in made:
        axes = panel.axes
        centres = mean_bands(panel.rows, ["arm"]).merge(
            mean_bands(panel.rows.assign(value=panel.rows["value_x"]), ["arm"]),
            on="arm",
            suffixes=("", "_x"),
        )
        labels = []
        for row in centres.to_dict("records"):
            colour, seeds = paint.colour(row["arm"]), panel.rows[panel.rows["arm"] == row["arm"]]
            axes.scatter(
                seeds["value_x"], seeds["value"], s=16, color=colour, alpha=0.45, linewidth=0
            )
            half_x, half_y = row["high_x"] - row["mean_x"], row["high"] - row["mean"]
            axes.errorbar(
                row["mean_x"],
                row["mean"],
                yerr=half_y if np.isfinite(half_y) else None,
                xerr=half_x if np.isfinite(half_x) and half_x > 0 else None,
                fmt="o",
                markersize=9,
                color=colour,
                capsize=4,
                linewidth=1.6,
            )
            labels.append((name("arm", row["arm"]), colour, row["mean_x"], row["mean"]))
        axes.margins(0.14)
        canvas.log_axes(axes, spec.log)
        canvas.reference_line(axes, spec, labelled=panel is made[0])
        label_points(axes, labels, size=figure.get_size_inches() * 0.8)
    x_label = spec.x_label or records.axis(spec, xs, spec.x)
    canvas.axis_labels(figure, made, x_label, spec.y_label or records.axis(spec, ys))
    return figure
