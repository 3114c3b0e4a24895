"""`kind: radar`: several scores at once, each from 0 to 1, as polygons."""

import textwrap
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from runner.figures import canvas
from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import PanelFigure, unique_names
from runner.figures.mpl import Axes, MplFigure
from runner.figures.notes import seed_notes
from runner.figures.panels import make_panels
from runner.figures.rows import select_first_trial
from runner.figures.templates import levels, select_arms_in_order
from runner.figures.texts import drawable_text

RINGS = (0.25, 0.5, 0.75, 1.0)
TOLERANCE = 1e-6  # what a score of float32 may lie outside 0..1
ONE_COLOUR = "#0072B2"


@dataclass(frozen=True, kw_only=True)
class Radar(PanelFigure):
    """A polygon per level of the hue in each panel, of the first seed.

    The range is fixed: scaled to the values at hand, noise would fill the chart. A value outside
    0..1 and a polygon that lacks a corner raise CannotDrawError.

    axes  label -> metric template with values in 0..1
    hue   the column that gets a colour each
    """

    kind: ClassVar[str] = "radar"
    has_dots: ClassVar[bool] = True
    shows_one_trial: ClassVar[bool] = True

    axes: dict[str, str]
    hue: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_arms("panel: [arm] or hue: arm")
        if len(self.axes) < 3:
            raise ValueError(f"it needs three axes or more; this one has {list(self.axes)}")
        for template in self.metrics:
            self.check_columns(template)

    @property
    def group_columns(self) -> list[str]:
        """The columns that tell values apart."""
        return unique_names(*self.panel, self.hue)

    @property
    def metrics(self) -> list[str]:
        """The metric or template of each axis."""
        return list(self.axes.values())

    def draw(self, records: Records) -> MplFigure:
        """Draw the polygons; `runner.figures.figure.Figure.draw` says more."""
        rows = self._corners(records)
        told = seed_notes(self, records, rows)
        figure, made = make_panels(
            rows,
            self.panel,
            title=self.title,
            size=(5.4, 3.5),
            notes=told,
            wrap=True,
            projection="polar",
        )
        paint = records.hue_styles(rows, self.hue) if self.hue else None
        for panel in made:
            _rings(panel.axes, list(self.axes), small=len(made) > 4)
            shown = levels(panel.rows, self.hue) if self.hue else [None]
            for level in shown:
                chosen = panel.rows if level is None else panel.rows[panel.rows[self.hue] == level]
                colour = ONE_COLOUR if paint is None else paint.colour(level)
                line = "-" if paint is None else paint.line_style(level)
                _polygon(panel.axes, chosen, list(self.axes), colour, line, filled=len(shown) <= 2)
        if paint and self.hue:
            canvas.add_legend(figure, paint, levels(rows, self.hue), self.hue)
        return figure

    def _corners(self, records: Records) -> pd.DataFrame:
        """A row per axis and polygon, of one trial or one per arm."""
        found = [
            records.matching_rows(records.results, template, self.arms).assign(axis=label)
            for label, template in self.axes.items()
        ]
        rows = select_first_trial(
            select_arms_in_order(pd.concat(found, ignore_index=True), records.shown(self.arms)),
            self,
        )
        rows = rows.dropna(subset="value")
        rows = rows.sort_values(self.group_columns, kind="stable") if self.group_columns else rows
        outside = rows[(rows["value"] < -TOLERANCE) | (rows["value"] > 1 + TOLERANCE)]
        if len(outside):
            worst = outside.iloc[0]
            raise CannotDrawError(
                f"{worst['metric']} = {worst['value']:g} of {worst['arm']} is outside 0..1, the "
                f"fixed range of axis {worst['axis']!r}; record a score that is scaled by its "
                "bounds"
            )
        counted = (
            rows.groupby(self.group_columns)["axis"].nunique()
            if self.group_columns
            else [rows["axis"].nunique()]
        )
        if min(counted) < len(self.axes):
            raise CannotDrawError(
                f"a polygon of the first seed lacks one of its axes {list(self.axes)}; every "
                "combination of the placeholders needs them all"
            )
        return rows


def _rings(axes: Axes, labels: list[str], *, small: bool) -> None:
    from matplotlib.projections.polar import PolarAxes

    assert isinstance(axes, PolarAxes)
    angles = _angles(len(labels))
    axes.set_theta_offset(np.pi / 2)
    axes.set_theta_direction(-1)
    axes.set_ylim(0, 1)
    numbers = ["" if small and ring % 0.5 else f"{ring:g}" for ring in RINGS]
    axes.set_rgrids(RINGS, numbers, angle=180 / len(labels), fontsize=8)
    for number in axes.get_yticklabels():
        number.set_bbox({"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5})
    wrapped = [textwrap.fill(drawable_text(label), 14 if small else 16) for label in labels]
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
    labels: list[str],
    colour: str,
    line: canvas.LineStyle,
    *,
    filled: bool,
) -> None:
    corners = rows.set_index("axis").reindex(labels)
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
