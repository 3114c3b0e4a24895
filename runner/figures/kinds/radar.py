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
TOLERANCE = 1e-6  # a score in float32 may lie outside 0..1 by this much
ONE_COLOUR = "#0072B2"


@dataclass(frozen=True, kw_only=True)
class Radar(PanelFigure):
    """A polygon of the first seed per level of the hue in each panel.

    The range is fixed: scaled to the values, noise would fill the chart. A value outside 0..1 and
    a polygon with a missing corner raise CannotDrawError.

    axes  label -> metric template with values in 0..1
    hue   the column whose levels have colours
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
            raise ValueError(f"axes={list(self.axes)} must have at least three axes")
        for template in self.metrics:
            self.check_columns(template)

    @property
    def group_columns(self) -> list[str]:
        """The columns that distinguish values."""
        return unique_names(*self.panel, self.hue)

    @property
    def metrics(self) -> list[str]:
        """The metric or template of each axis."""
        return list(self.axes.values())

    def draw(self, records: Records) -> MplFigure:
        """Draw the polygons; see `runner.figures.figure.Figure.draw`."""
        rows = self._select_corners(records)
        notes = seed_notes(self, records, rows)
        figure, panels = make_panels(
            rows,
            self.panel,
            title=self.title,
            size=(5.4, 3.5),
            notes=notes,
            wrap=True,
            projection="polar",
        )
        styles = records.hue_styles(rows, self.hue) if self.hue else None
        for panel in panels:
            _draw_rings(panel.axes, list(self.axes), small=len(panels) > 4)
            hue_levels = levels(panel.rows, self.hue) if self.hue else [None]
            for level in hue_levels:
                chosen = panel.rows if level is None else panel.rows[panel.rows[self.hue] == level]
                colour = ONE_COLOUR if styles is None else styles.colour(level)
                line = "-" if styles is None else styles.line_style(level)
                _draw_polygon(
                    panel.axes, chosen, list(self.axes), colour, line, filled=len(hue_levels) <= 2
                )
        if styles and self.hue:
            canvas.add_legend(figure, styles, levels(rows, self.hue), self.hue)
        return figure

    def _select_corners(self, records: Records) -> pd.DataFrame:
        """Return a row per axis and polygon, of one trial or of one per arm."""
        axis_rows = [
            records.matching_rows(records.results, template, self.arms).assign(axis=label)
            for label, template in self.axes.items()
        ]
        rows = select_first_trial(
            select_arms_in_order(
                pd.concat(axis_rows, ignore_index=True), records.existing_arms(self.arms)
            ),
            self,
        )
        rows = rows.dropna(subset="value")
        rows = rows.sort_values(self.group_columns, kind="stable") if self.group_columns else rows
        outside = rows[(rows["value"] < -TOLERANCE) | (rows["value"] > 1 + TOLERANCE)]
        if len(outside):
            worst = outside.iloc[0]
            raise CannotDrawError(
                f"{worst['metric']} = {worst['value']:g} of {worst['arm']} is outside 0..1, the "
                f"fixed range of axis {worst['axis']!r}; record a score that is scaled to 0..1"
            )
        n_axes = (
            rows.groupby(self.group_columns)["axis"].nunique()
            if self.group_columns
            else [rows["axis"].nunique()]
        )
        if min(n_axes) < len(self.axes):
            raise CannotDrawError(
                f"a polygon of the first seed has no value for one of its axes {list(self.axes)}; "
                "every combination of the placeholders needs all axes"
            )
        return rows


def _draw_rings(axes: Axes, labels: list[str], *, small: bool) -> None:
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
        x = np.sin(angle)
        text.set_horizontalalignment("center" if abs(x) < 0.1 else "left" if x > 0 else "right")
    axes.spines["polar"].set_color("#BBBBBB")


def _draw_polygon(
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
    is_hollow = corners["clipped"].to_numpy(bool)
    axes.scatter(
        angles[:-1][is_hollow], values[is_hollow], s=30, color="white", edgecolor=colour, zorder=3
    )
    if filled:
        axes.fill(angles, closed, color=colour, alpha=0.15, linewidth=0)


def _angles(n: int) -> np.ndarray:
    return np.arange(n) * 2 * np.pi / n
