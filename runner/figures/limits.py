"""The limits of axes and of drawn intervals: no further than values can be."""

import math

import numpy as np
import pandas as pd

from runner.figures.data import Records
from runner.figures.mpl import Axes
from runner.stats.bands import SeedsByArm, mean_bands

MARGIN = 0.04  # of an axis's range, on each side


def limited_bands(
    records: Records, rows: pd.DataFrame, by: list[str], seeds: SeedsByArm | None
) -> pd.DataFrame:
    """Return means as `mean_bands` does; intervals end at the metric's possible values."""
    bands = mean_bands(rows, by, seeds=seeds)
    lowest, highest = records.limits(rows)
    # A mean outside its metric's limits keeps its place, and its interval reaches it.
    low, high = bands["low"].clip(lower=lowest), bands["high"].clip(upper=highest)
    bands["low"] = low.where(low.isna() | (low < bands["mean"]), bands["mean"])
    bands["high"] = high.where(high.isna() | (high > bands["mean"]), bands["mean"])
    return bands


def limit_y(
    axes: Axes,
    rows: pd.DataFrame,
    bands: pd.DataFrame,
    log: bool,
    reference: float | None,
    possible: tuple[float, float],
) -> None:
    """Set the scale of y, and its limits from seeds, means, and intervals that fit.

    An interval of two seeds can be a hundred times as long as the distance of their values. On a
    logarithmic axis, or if intervals take over three quarters of the range, they are cut off.
    """
    values = [rows["value"], bands["mean"], pd.Series([reference], dtype=float)]
    low, high = _range(values, log=log)
    if not math.isfinite(low):
        return
    all_low, all_high = _range([*values, bands["low"], bands["high"]], log=False)
    if not log and all_high - all_low <= 4 * (high - low):
        low, high = all_low, all_high
    if log:
        axes.set_yscale("log")
        spread = max((high / low) ** MARGIN, 1.02)
        axes.set_ylim(low / spread, high * spread)
        return
    spread = MARGIN * (high - low) or abs(high) * MARGIN or 0.05
    # A line at a possible value stays visible above the frame.
    bottom, top = low - spread, high + spread
    size = top - bottom
    bottom, top = max(bottom, possible[0] - size * 0.02), min(top, possible[1] + size * 0.02)
    axes.set_ylim(bottom, top)


def cut_low(low: pd.Series, axes: Axes) -> pd.Series:
    """Return lower ends of intervals, cut at the limit of a logarithmic y."""
    if axes.get_yscale() != "log":
        return low
    return low.clip(lower=min(axes.get_ylim()) / 10).where(low.notna())


def _range(columns: list[pd.Series], *, log: bool) -> tuple[float, float]:
    values = np.concatenate([column.to_numpy(float) for column in columns])
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    return (float(values.min()), float(values.max())) if len(values) else (math.nan, math.nan)
