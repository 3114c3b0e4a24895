"""Two final metrics against each other, such as quality against cost."""

import numpy as np
from matplotlib.figure import Figure

from runner.figures import canvas
from runner.figures.data import CannotDrawError, Records
from runner.figures.labels import label_points
from runner.figures.notes import notes
from runner.figures.panels import panels
from runner.figures.spec import FigureSpec
from runner.figures.templates import levels
from runner.figures.texts import names
from runner.metric_names import placeholders
from runner.stats.bands import mean_bands


def scatter(spec: FigureSpec, records: Records) -> Figure:
    """A point per arm with both intervals, a dot per seed, the label beside the point.

    An arm that lacks a seed has no point; one whose mean holds clipped values has a hollow one.
    """
    assert spec.x is not None
    ys = records.matching(records.results, spec.metric, spec)
    xs = records.matching(records.results, spec.x, spec)
    shared = [column for column in placeholders(spec.x) if column in ys]
    pairs = ys.merge(xs.drop(columns="metric"), on=["arm", "seed", *shared], suffixes=("", "_x"))
    # A seed that lacks one of both has no place.
    pairs["value"] = pairs["value"].where(pairs["value_x"].notna())
    pairs["value_x"] = pairs["value_x"].where(pairs["value"].notna())
    pairs["clipped"] |= pairs["clipped_x"]
    if not pairs["value"].notna().any():
        raise CannotDrawError(f"no trial has both {spec.metric!r} and {spec.x!r}")
    figure, made = panels(pairs, spec, size=(7.6, 5.0), notes=notes(records, spec, pairs))
    paint, texts = records.paint(pairs, "arm"), names("arm", levels(pairs, "arm"))
    for panel in made:
        axes = panel.axes
        across = panel.rows.assign(value=panel.rows["value_x"])
        centres = mean_bands(panel.rows, ["arm"], seeds=records.seeds).merge(
            mean_bands(across, ["arm"], seeds=records.seeds),
            on="arm",
            suffixes=("", "_x"),
        )
        labels = []
        for row in centres.to_dict("records"):
            colour, seeds = paint.colour(row["arm"]), panel.rows[panel.rows["arm"] == row["arm"]]
            if not seeds["value"].notna().any():
                continue
            canvas.dots(axes, seeds, "value_x", colour, size=16, alpha=0.45)
            if not np.isfinite(row["mean"]):
                # Named all the same, beside the middle of its dots.
                middle = seeds[["value_x", "value"]].median()
                labels.append((texts[row["arm"]], colour, middle["value_x"], middle["value"]))
                continue
            half_x, half_y = row["high_x"] - row["mean_x"], row["high"] - row["mean"]
            axes.errorbar(
                row["mean_x"],
                row["mean"],
                yerr=half_y if np.isfinite(half_y) else None,
                xerr=half_x if np.isfinite(half_x) and half_x > 0 else None,
                fmt="o",
                markersize=9,
                color=colour,
                markerfacecolor="white" if seeds["clipped"].any() else colour,
                capsize=4,
                linewidth=1.6,
            )
            labels.append((texts[row["arm"]], colour, row["mean_x"], row["mean"]))
        axes.margins(0.14)
        canvas.log_axes(axes, spec.log)
        canvas.reference_line(axes, spec, labelled=panel is made[0])
        label_points(axes, labels, size=figure.get_size_inches() * 0.8)
    x_label = spec.x_label or records.axis(spec, xs, spec.x)
    canvas.axis_labels(figure, made, x_label, spec.y_label or records.axis(spec, ys))
    return figure
