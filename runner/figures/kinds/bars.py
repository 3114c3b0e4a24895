"""Final values per category and arm: bars from zero, or points where small differences matter."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner.figures import canvas, ticks
from runner.figures.data import Records
from runner.figures.notes import notes
from runner.figures.panels import axes_inches, panels
from runner.figures.spec import FigureSpec
from runner.figures.templates import levels
from runner.stats.bands import Seeds, mean_bands


def bars(spec: FigureSpec, records: Records) -> Figure:
    """A group per x category, a bar per arm from zero, its 95 % interval, a dot per seed."""
    return _grouped(spec, records, from_zero=True)


def points(spec: FigureSpec, records: Records) -> Figure:
    """As `bars`, without bars: the axis need not start at zero, so small differences show."""
    return _grouped(spec, records, from_zero=False)


def _grouped(spec: FigureSpec, records: Records, *, from_zero: bool) -> Figure:
    rows = records.rows(spec)
    hue, x = spec.colours, spec.x or spec.colours
    paint, shown, categories = records.paint(rows, hue), levels(rows, hue), levels(rows, x)
    n_bars = 1 if x == hue else len(shown)
    inches = min(14.0, max(7.0, 1.6 + len(categories) * (0.34 * n_bars + 0.35)))
    figure, made = panels(rows, spec, size=(inches, 4.4), notes=notes(records, spec, rows))
    seeds = records.counted(spec)
    width = 0.8 / n_bars
    for panel in made:
        for i, category in enumerate(categories):
            for j, level in enumerate(shown):
                if x == hue and level != category:
                    continue
                chosen = panel.rows[(panel.rows[x] == category) & (panel.rows[hue] == level)]
                centre = i if x == hue else i + (j - (n_bars - 1) / 2) * width
                if chosen["value"].notna().any():
                    colour = paint.colour(level)
                    _one_bar(panel.axes, chosen, centre, width, colour, seeds, from_zero=from_zero)
        if from_zero and not panel.rows["value"].any():
            panel.axes.set_ylim(0, 1)  # matplotlib would show +-0.05
        canvas.log_axes(panel.axes, spec.log)
        canvas.reference_line(panel.axes, spec, labelled=panel is made[0])
        panel.axes.grid(visible=False, axis="x")
        rest = ticks.set_names(
            panel.axes.xaxis,
            [str(category) for category in categories],
            axes_inches(figure, made)[0] * 1.13,
            most=len(categories),
            turn=30,
        )
        if not ticks.are_names(categories):
            rest = ""  # a reader counts on from a number
    if x != hue:
        canvas.legend(figure, paint, shown, hue, patches=True)
    label = spec.x_label if spec.x_label is not None else ("" if x == "arm" else x)
    label = ticks.with_rest(label, rest)
    canvas.axis_labels(figure, made, label, spec.y_label or records.axis(spec, rows))
    return figure


def _one_bar(
    axes: Axes,
    rows: pd.DataFrame,
    centre: float,
    width: float,
    colour: str,
    seeds: Seeds | None,
    *,
    from_zero: bool,
) -> None:
    """The dots of seeds; the mean with its interval, or neither where a seed is missing.

    A mean over values of which some are clipped is hatched or dashed.
    """
    band = mean_bands(rows.assign(all=0), ["all"], seeds=seeds).iloc[0]
    clipped = rows["clipped"].any()
    if from_zero:
        height = band["mean"] if np.isfinite(band["mean"]) else 0.0
        hatch = "////" if clipped else None
        axes.bar(centre, height, width * 0.88, color=colour, alpha=0.55, hatch=hatch, zorder=2)
    # Steps of the golden ratio spread any number of dots evenly, and not in the order of the seeds.
    jitter = (np.arange(1, len(rows) + 1) * 0.6180339887 % 1 - 0.5) * width * 0.5
    canvas.dots(axes, rows.assign(_x=centre + jitter), "_x", colour, size=14)
    if not from_zero:
        axes.plot(
            [centre - width * 0.3, centre + width * 0.3],
            [band["mean"]] * 2,
            color=colour,
            linewidth=2.5,
            linestyle=":" if clipped else "-",
        )
    if np.isfinite(band["low"]):
        error = [[band["mean"] - band["low"]], [band["high"] - band["mean"]]]
        axes.errorbar(
            centre, band["mean"], error, color="#222222", capsize=3, linewidth=1.3, zorder=4
        )
