"""`kind: scatter`: two final metrics against each other, such as quality against cost."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from runner.figures import canvas
from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import MetricFigure, unique_names
from runner.figures.labels import label_points
from runner.figures.mpl import Axes, MplFigure
from runner.figures.notes import seed_notes
from runner.figures.panels import make_panels
from runner.figures.templates import levels
from runner.figures.texts import level_texts
from runner.metric_names import placeholders
from runner.stats.bands import SeedsByArm, mean_bands


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

    def draw(self, records: Records) -> MplFigure:
        """Draw the points; see `runner.figures.figure.Figure.draw`."""
        ys = records.matching_rows(records.results, self.metric, self.arms)
        xs = records.matching_rows(records.results, self.x, self.arms)
        pairs = self._pairs(ys, xs)
        figure, panels = make_panels(
            pairs,
            self.panel,
            title=self.title,
            size=(7.6, 5.0),
            notes=seed_notes(self, records, pairs),
        )
        styles, texts = records.hue_styles(pairs, "arm"), level_texts("arm", levels(pairs, "arm"))
        for panel in panels:
            labels = []
            for arm, centre in _centres(panel.rows, records.seeds).iterrows():
                seeds = panel.rows[panel.rows["arm"] == arm]
                if seeds["value"].notna().any():
                    colour = styles.colour(arm)
                    x, y = _draw_point(panel.axes, seeds, centre, colour)
                    labels.append((texts[arm], colour, x, y))
            panel.axes.margins(0.14)
            canvas.set_log_axes(panel.axes, self.log)
            label = self.reference_label if panel is panels[0] else ""
            canvas.add_reference_line(panel.axes, self.reference, label)
            label_points(panel.axes, labels, size=figure.get_size_inches() * 0.8)
        x_label = self.x_label or records.label(self.x, xs)
        canvas.set_axis_labels(
            figure, panels, x_label, self.y_label or self.value_label(records, ys)
        )
        return figure

    def _pairs(self, ys: pd.DataFrame, xs: pd.DataFrame) -> pd.DataFrame:
        """Return a row per trial with both values, or NaN for both if one is missing."""
        shared = [column for column in placeholders(self.x) if column in ys]
        on = ["arm", "seed", *shared]
        pairs = ys.merge(xs.drop(columns="metric"), on=on, suffixes=("", "_x"))
        pairs["value"] = pairs["value"].where(pairs["value_x"].notna())
        pairs["value_x"] = pairs["value_x"].where(pairs["value"].notna())
        pairs["clipped"] |= pairs["clipped_x"]
        if not pairs["value"].notna().any():
            raise CannotDrawError(f"no trial has both {self.metric!r} and {self.x!r}")
        return pairs


def _centres(rows: pd.DataFrame, seeds: SeedsByArm) -> pd.DataFrame:
    """Return the means of each arm with their intervals; the columns of x end in `_x`."""
    up = mean_bands(rows, ["arm"], seeds=seeds)
    across = mean_bands(rows.assign(value=rows["value_x"]), ["arm"], seeds=seeds)
    return up.merge(across, on="arm", suffixes=("", "_x")).set_index("arm")


def _draw_point(
    axes: Axes, seeds: pd.DataFrame, centre: pd.Series, colour: str
) -> tuple[float, float]:
    """Draw an arm's seeds and its mean, if there is one; return the position of its label."""
    canvas.draw_dots(axes, seeds, "value_x", colour, size=16, alpha=0.45)
    if not np.isfinite(centre["mean"]):
        middle = seeds[["value_x", "value"]].median()
        return float(middle["value_x"]), float(middle["value"])
    half_x, half_y = centre["high_x"] - centre["mean_x"], centre["high"] - centre["mean"]
    axes.errorbar(
        centre["mean_x"],
        centre["mean"],
        yerr=half_y if np.isfinite(half_y) else None,
        xerr=half_x if np.isfinite(half_x) and half_x > 0 else None,
        fmt="o",
        markersize=9,
        color=colour,
        markerfacecolor="white" if seeds["clipped"].any() else colour,
        capsize=4,
        linewidth=1.6,
    )
    return float(centre["mean_x"]), float(centre["mean"])
