"""`kind: scatter`: two final metrics against each other, such as quality against cost."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from runner.figures import canvas
from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import MetricFigure, unique_names
from runner.figures.labels import label_points
from runner.figures.limits import limited_bands
from runner.figures.mpl import Axes
from runner.figures.notes import seed_notes
from runner.figures.sentences import describe, hover_text, source_words
from runner.figures.sheet import Sheet, make_sheet
from runner.figures.styles import HueStyles
from runner.figures.templates import levels
from runner.figures.texts import level_texts
from runner.figures.tick_numbers import linear_notes, set_log_axes, usable_log
from runner.metric_names import placeholders
from runner.wording import quantity


@dataclass(frozen=True, kw_only=True)
class Scatter(MetricFigure):
    """A point per arm with both intervals, a dot per seed, and the label next to the point.

    An arm with a missing seed has no point. A mean with clipped values is a hollow point.

    x          the metric on x; it may be a template
    reference  a value of y with a dashed line, next to which `reference_label` is written
    """

    kind: ClassVar[str] = "scatter"
    has_dots: ClassVar[bool] = True

    x: str
    reference: float | None = None
    reference_label: str = ""

    @property
    def group_columns(self) -> list[str]:
        """The columns that distinguish values."""
        return unique_names(*self.panel, "arm")

    @property
    def metrics(self) -> list[str]:
        """The metrics or templates on y and on x."""
        return [self.metric, self.x]

    def draw(self, records: Records) -> Sheet:
        """Draw the points; see `runner.figures.figure.Figure.draw`."""
        ys = records.matching_rows(records.results, self.metric, self.arms)
        xs = records.matching_rows(records.results, self.x, self.arms)
        pairs = self._pairs(ys, xs)
        log = usable_log(self.log, pairs["value"], pairs["value_x"])
        sheet = make_sheet(
            pairs,
            self.panel,
            title=self.title,
            heights=(4.2, 2.8),
            notes=[*seed_notes(self, records, pairs), *linear_notes(self.log, log)],
        )
        styles, texts = records.hue_styles(pairs, "arm"), level_texts("arm", levels(pairs, "arm"))
        x_label = self.x_label or records.label(self.x, xs)
        y_label = self.y_label or self.value_label(records, ys)
        points = []
        for panel in sheet.panels:
            labels = []
            for arm, centre in _centres(panel.rows, records).iterrows():
                seeds = panel.rows[panel.rows["arm"] == arm]
                if seeds["value"].notna().any():
                    x, y = _draw_point(panel.axes, seeds, centre, arm, styles)
                    labels.append((texts[arm], styles.ink(arm), x, y))
                    points.append((str(arm), y, x))
                    across = quantity.format_number(x, 3)
                    text = f"{hover_text([str(arm), y_label], dict(centre))}; {x_label}: {across}"
                    sheet.add_hover(panel.axes, x, y, text)
            panel.axes.margins(0.14)
            set_log_axes(panel.axes, log)
            label = self.reference_label if panel is sheet.panels[0] else ""
            canvas.add_reference_line(panel.axes, self.reference, label)
            size = np.array([sheet.panel_width(), sheet.heights[panel.row]])
            label_points(panel.axes, labels, size=size)
        sheet.label_axes(x_label, y_label)
        values = [(f"{arm} {quantity.format_number(y, 3)} at", x) for arm, y, x in points]
        source = source_words(self, records, pairs)
        sheet.alt = describe([self.title, f"{y_label} at {x_label}"], "", values, source)
        return sheet

    def _pairs(self, ys: pd.DataFrame, xs: pd.DataFrame) -> pd.DataFrame:
        """Return a row per trial with both values, or NaN for both if one is missing."""
        shared = [column for column in placeholders(self.x) if column in ys]
        on = ["arm", "seed", *shared]
        pairs = ys.merge(xs, on=on, suffixes=("", "_x"))
        pairs["value"] = pairs["value"].where(pairs["value_x"].notna())
        pairs["value_x"] = pairs["value_x"].where(pairs["value"].notna())
        pairs["clipped"] |= pairs["clipped_x"]
        if not pairs["value"].notna().any():
            raise CannotDrawError(f"no trial has both {self.metric!r} and {self.x!r}")
        return pairs


def _centres(rows: pd.DataFrame, records: Records) -> pd.DataFrame:
    """Return the means of each arm with their intervals; the columns of x end in `_x`."""
    up = limited_bands(records, rows, ["arm"], records.seeds)
    across_rows = rows.assign(value=rows["value_x"], metric=rows["metric_x"])
    across = limited_bands(records, across_rows, ["arm"], records.seeds)
    return up.merge(across, on="arm", suffixes=("", "_x")).set_index("arm")


def _draw_point(
    axes: Axes, seeds: pd.DataFrame, centre: pd.Series, arm: object, styles: HueStyles
) -> tuple[float, float]:
    """Draw an arm's seeds and its mean, if there is one; return the position of its label."""
    colour = styles.colour(arm)
    canvas.draw_dots(axes, seeds, "value_x", colour, size=16, alpha=0.45)
    if not np.isfinite(centre["mean"]):
        middle = seeds[["value_x", "value"]].median()
        return float(middle["value_x"]), float(middle["value"])
    y_error = [[centre["mean"] - centre["low"]], [centre["high"] - centre["mean"]]]
    x_error = [[centre["mean_x"] - centre["low_x"]], [centre["high_x"] - centre["mean_x"]]]
    axes.errorbar(
        centre["mean_x"],
        centre["mean"],
        yerr=y_error if np.isfinite(y_error).all() else None,
        xerr=x_error if np.isfinite(x_error).all() and np.any(x_error) else None,
        fmt=styles.marker(arm),
        markersize=9,
        color=colour,
        markerfacecolor="white" if seeds["clipped"].any() else styles.marker_face(arm),
        capsize=4,
        linewidth=1.6,
    )
    return float(centre["mean_x"]), float(centre["mean"])
