"""Means over seeds as lines: over training steps, or over a number such as a length."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.plots import canvas
from runner.plots.canvas import Paint
from runner.plots.data import CannotDrawError, Records, same_at_every_seed, seed_note
from runner.plots.figures import FigureSpec
from runner.plots.labels import label_line_ends
from runner.plots.panels import name, panels
from runner.plots.templates import levels
from runner.stats.bands import mean_bands

FEW = 12  # up to so many x values, each gets its own whisker and dots


def curve(spec: FigureSpec, records: Records) -> Figure:
    """Over training steps, from the history."""
    return _drawn(spec, records, x="step", label="training step")


def lines(spec: FigureSpec, records: Records) -> Figure:
    """Over a placeholder or a table's column whose values are numbers, from the final results."""
    assert spec.x is not None
    return _drawn(spec, records, x=spec.x, label=spec.x)


def _drawn(spec: FigureSpec, records: Records, *, x: str, label: str) -> Figure:
    rows, hue = records.rows(spec), spec.colours
    if not pd.api.types.is_numeric_dtype(rows[x]):
        what = spec.table or spec.metric
        raise CannotDrawError(f"x={x!r} of {what!r} must be numbers to draw lines")
    figure, made = panels(rows, spec, size=(7.6, 4.6), note=seed_note(rows, spec))
    paint = records.paint(rows, hue)
    marked = spec.kind == "lines" and rows[x].nunique() <= FEW
    for panel in made:
        for level in levels(panel.rows, hue):
            chosen = panel.rows[panel.rows[hue] == level]
            _one_line(panel.axes, chosen, x, level, paint, marked=marked)
        panel.axes.margins(x=0.03 if marked else 0.015)
        canvas.log_axes(panel.axes, spec.log)
        if marked and spec.log in ("x", "both"):
            at = levels(rows, x)
            panel.axes.set_xticks(at, [f"{value:,.7g}" for value in at])
        canvas.reference_line(panel.axes, spec, labelled=panel is made[0])
    if len(made) == 1:
        label_line_ends(
            made[0].axes, _ends(rows, x, hue, paint), height=figure.get_figheight() * 0.75
        )
    else:
        canvas.legend(figure, paint, levels(rows, hue), hue)
    canvas.axis_labels(
        figure, made, spec.x_label or label, spec.y_label or records.axis(spec, rows)
    )
    return figure


def _one_line(
    axes: Axes, rows: pd.DataFrame, x: str, level: object, paint: Paint, *, marked: bool
) -> None:
    """The seeds thinly or as dots, then the mean with its band or whiskers.

    Where all seeds hold the same numbers there is nothing but one line.
    """
    colour = paint.colour(level)
    band = mean_bands(rows, [x]).sort_values(x)
    spread = not same_at_every_seed(rows, [x])
    if spread and marked:
        axes.scatter(rows[x], rows["value"], s=12, color=colour, alpha=0.45, linewidth=0)
        half = (band["high"] - band["mean"]).fillna(0)
        axes.errorbar(
            band[x], band["mean"], half, fmt="none", ecolor=colour, capsize=3.5, linewidth=1.3
        )
    elif spread:
        for _, thin in rows.groupby(["arm", "seed"], sort=False):
            thin = thin.sort_values(x)
            axes.plot(thin[x], thin["value"], color=colour, alpha=0.28, linewidth=0.7)
        axes.fill_between(band[x], band["low"], band["high"], color=colour, alpha=0.16, linewidth=0)
    marker = "o" if marked else None
    axes.plot(
        band[x],
        band["mean"],
        color=colour,
        linestyle=paint.line(level),
        linewidth=2,
        marker=marker,
        markersize=5,
    )


def _ends(
    rows: pd.DataFrame, x: str, hue: str, paint: Paint
) -> list[tuple[str, str, float, float]]:
    found = []
    for level in levels(rows, hue):
        band = mean_bands(rows[rows[hue] == level], [x]).sort_values(x)
        last = band.iloc[-1]
        found.append((name(hue, level), paint.colour(level), float(last[x]), float(last["mean"])))
    return found
