"""The bars or points of one level of the hue, with intervals and the dots of seeds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from runner.figures import canvas
from runner.figures.mpl import Axes
from runner.figures.styles import HueStyles


@dataclass(frozen=True)
class BarGroup:
    """A bar per category, all of one level of the hue in one panel.

    rows     the values of seeds
    means    a row per category: the mean with its interval
    x        the column of the categories
    centres  category -> position on the x axis
    """

    rows: pd.DataFrame
    means: pd.DataFrame
    x: str
    centres: Mapping[Any, float]
    width: float
    level: Any

    def draw(self, axes: Axes, styles: HueStyles, *, from_zero: bool, marked: bool) -> None:
        """Draw the dots of seeds and, where no seed is missing, the mean with its interval.

        A mean with clipped values among its seeds is hatched or dotted. All bars are drawn at once,
        since artists of matplotlib are slow.
        """
        if not self.rows["value"].notna().any():
            return
        colour, is_apart = styles.colour(self.level), self.level in styles.apart
        at = self.means[self.x].map(self.centres).to_numpy(float)
        mean, low, high = (self.means[name].to_numpy(float) for name in ("mean", "low", "high"))
        clipped = self.rows.groupby(self.x, observed=True)["clipped"].any()
        is_clipped = self.means[self.x].map(clipped).to_numpy(bool)
        if from_zero:
            axes.bar(
                at,
                np.nan_to_num(mean),
                self.width * 0.88,
                color=colour,
                alpha=0.25 if is_apart else 0.55,
                hatch=["////" if clipped else "" for clipped in is_clipped],
                zorder=2,
            )
        # Steps of the golden ratio spread any number of dots evenly, not in the order of seeds.
        place = self.rows.groupby(self.x, observed=True).cumcount() + 1
        jitter = (place * 0.6180339887 % 1 - 0.5) * self.width * 0.5
        dots = self.rows.assign(_x=self.rows[self.x].map(self.centres).astype(float) + jitter)
        canvas.draw_dots(axes, dots, "_x", colour, size=14, alpha=0.5 if is_apart else 1.0)
        if not from_zero:
            for dotted in (False, True):
                chosen = (is_clipped | is_apart) == dotted
                self._draw_levels(axes, at[chosen], mean[chosen], colour, dotted=dotted)
        known = np.isfinite(mean)
        if marked and known.any():
            axes.plot(
                at[known],
                mean[known],
                linestyle="none",
                marker=styles.marker(self.level),
                markersize=6,
                color=colour,
                markerfacecolor=styles.marker_face(self.level),
                markeredgecolor="#222222",
                markeredgewidth=0.7,
                zorder=5,
            )
        known = np.isfinite(low)
        if known.any():
            error = [(mean - low)[known], (high - mean)[known]]
            axes.errorbar(
                at[known],
                mean[known],
                error,
                fmt="none",
                ecolor="#222222",
                capsize=3,
                linewidth=1.3,
                zorder=4,
            )

    def _draw_levels(
        self, axes: Axes, at: np.ndarray, mean: np.ndarray, colour: str, *, dotted: bool
    ) -> None:
        """Draw a short horizontal line at each mean, as one line with gaps."""
        if not np.isfinite(mean).any():
            return
        half, gap = self.width * 0.3, np.full(len(at), np.nan)
        axes.plot(
            np.column_stack([at - half, at + half, gap]).ravel(),
            np.column_stack([mean, mean, gap]).ravel(),
            color=colour,
            linewidth=2.5,
            linestyle=":" if dotted else "-",
        )
