"""Means over seeds with their 95 % t-intervals, for many groups at once."""

import numpy as np
import pandas as pd

from runner.stats.intervals import half_width


def mean_bands(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Columns `by`, mean, low, high, n of the finite values; one value has no limits (NaN)."""
    finite = rows[np.isfinite(rows["value"].astype(float))].astype({"value": float})
    groups = finite.groupby(by, sort=False, observed=True)["value"]
    table = groups.agg(["mean", "std", "count"]).reset_index().rename(columns={"count": "n"})
    half = half_width(table["std"].to_numpy(), table["n"].to_numpy())
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    return table[[*by, "mean", "low", "high", "n"]]
