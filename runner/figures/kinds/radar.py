"""Several scores at once, each from 0 to 1, as polygons."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from runner.figures import canvas
from runner.figures.data import CannotDrawError, Records, single
from runner.figures.notes import notes
from runner.figures.panels import panels
from runner.figures.spec import FigureSpec
from runner.figures.templates import in_order, levels
from runner.figures.texts import legible

RINGS = (0.25, 0.5, 0.75, 1.0)
TOLERANCE = 1e-6  # what a score of float32 may lie outside 0..1
ONE_COLOUR = "#0072B2"


def radar(spec: FigureSpec, records: Records) -> Figure:
    """A polygon per hue in each panel, of the first seed.

    The range is fixed: scaled to the values at hand, noise would fill the chart. A value outside
    0..1 and a polygon that lacks a corner raise CannotDrawError.
    """
    rows = _corners(spec, records)
    told = notes(records, spec, rows)
    figure, made = panels(rows, spec, size=(5.4, 3.5), notes=told, wrapped=True, projection="polar")
    paint = records.paint(rows, spec.hue) if spec.hue else None
    for panel in made:
        _rings(panel.axes, list(spec.axes), small=len(made) > 4)
        shown = levels(panel.rows, spec.hue) if spec.hue else [None]
        for level in shown:
            chosen = panel.rows if level is None else panel.rows[panel.rows[spec.hue] == level]
            colour = ONE_COLOUR if paint is None else paint.colour(level)
            line = "-" if paint is None else paint.line(level)
            _polygon(panel.axes, chosen, spec, colour, line, filled=len(shown) <= 2)
    if paint and spec.hue:
        canvas.legend(figure, paint, levels(rows, spec.hue), spec.hue)
    return figure


def _corners(spec: FigureSpec, records: Records) -> pd.DataFrame:
    """A row per axis and polygon, of one trial or one per arm."""
    found = [
        records.matching(records.results, template, spec).assign(axis=label)
        for label, template in spec.axes.items()
    ]
    rows = single(in_order(pd.concat(found, ignore_index=True), records.shown(spec)), spec)
    rows = rows.dropna(subset="value")
    rows = rows.sort_values(spec.by, kind="stable") if spec.by else rows
    outside = rows[(rows["value"] < -TOLERANCE) | (rows["value"] > 1 + TOLERANCE)]
    if len(outside):
        worst = outside.iloc[0]
        raise CannotDrawError(
            f"{worst['metric']} = {worst['value']:g} of {worst['arm']} is outside 0..1, the fixed "
            f"range of axis {worst['axis']!r}; record a score that is scaled by its bounds"
        )
    counted = rows.groupby(spec.by)["axis"].nunique() if spec.by else [rows["axis"].nunique()]
    if min(counted) < len(spec.axes):
        raise CannotDrawError(
            f"a polygon of the first seed lacks one of its axes {list(spec.axes)}; every "
            "combination of the placeholders needs them all"
        )
    return rows


def _rings(axes: Axes, labels: list[str], *, small: bool) -> None:
    assert isinstance(axes, PolarAxes)
    angles = _angles(len(labels))
    axes.set_theta_offset(np.pi / 2)
    axes.set_theta_direction(-1)
    axes.set_ylim(0, 1)
    numbers = ["" if small and ring % 0.5 else f"{ring:g}" for ring in RINGS]
    axes.set_rgrids(RINGS, numbers, angle=180 / len(labels), fontsize=8)
    for number in axes.get_yticklabels():
        number.set_bbox({"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5})
    wrapped = [textwrap.fill(legible(label), 14 if small else 16) for label in labels]
    axes.set_xticks(angles, wrapped, fontsize=8.5 if small else 10)
    axes.tick_params(axis="x", pad=0 if small else 3)
    for angle, text in zip(angles, axes.get_xticklabels(), strict=True):
        side = np.sin(angle)
        text.set_horizontalalignment(
            "center" if abs(side) < 0.1 else "left" if side > 0 else "right"
        )
    axes.spines["polar"].set_color("#BBBBBB")


def _polygon(
    axes: Axes,
    rows: pd.DataFrame,
    spec: FigureSpec,
    colour: str,
    line: canvas.LineStyle,
    *,
    filled: bool,
) -> None:
    corners = rows.set_index("axis").reindex(list(spec.axes))
    values = corners["value"].clip(0, 1).to_numpy()
    closed = np.append(values, values[0])
    angles = np.append(_angles(len(values)), 0.0)
    axes.plot(angles, closed, color=colour, linestyle=line, linewidth=2, marker="o", markersize=3.5)
    hollow = corners["clipped"].to_numpy(bool)
    axes.scatter(
        angles[:-1][hollow], values[hollow], s=30, color="white", edgecolor=colour, zorder=3
    )
    if filled:
        axes.fill(angles, closed, color=colour, alpha=0.15, linewidth=0)


def _angles(n: int) -> np.ndarray:
    return np.arange(n) * 2 * np.pi / n
