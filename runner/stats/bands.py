"""Means over seeds with their 95 % t-intervals, for many groups at once."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import numpy as np
import pandas as pd

from runner.stats.intervals import half_width

SeedsByArm = Mapping[str, AbstractSet[int]]  # arm -> the seeds of its mean


def mean_bands(
    rows: pd.DataFrame, by: list[str], *, seeds: SeedsByArm | None = None
) -> pd.DataFrame:
    """Return the mean over seeds and its 95 % t-interval for each group of rows.

    The interval is mean +- `half_width(sd, n)`, which assumes independent normal seeds (see
    `runner.stats.intervals`). One value has no limits: low and high are NaN. If a seed of an arm
    has no finite value in a group, the group's mean, low and high are NaN. A mean over the other
    seeds would be another quantity.

    Args:
        rows: columns arm, seed, value, and those of `by`.
        by: the columns that define a group.
        seeds: the seeds of each arm; by default the seeds that occur anywhere in its `rows`.

    Returns:
        Columns `by`, mean, low, high, and n, the number of finite values.
    """
    if seeds is None:
        seeds = collect_seeds(rows)
    else:
        rows = select_seeds(rows, seeds)
    rows = rows.astype({"value": float})  # pandas reads an empty column as objects
    finite = np.isfinite(rows["value"])
    rows = rows.assign(value=rows["value"].where(finite), _finite=rows["seed"].where(finite))
    groups = rows.groupby(by, sort=False, observed=True)["value"]
    table = groups.agg(["mean", "std", "count"]).rename(columns={"count": "n"})
    # A group of two arms (with the same function) needs all seeds of each arm.
    columns = list(dict.fromkeys([*by, "arm"]))
    counts = rows.groupby(columns, sort=False, observed=True)["_finite"].nunique().reset_index()
    counts["_complete"] = counts["_finite"] >= counts["arm"].map(
        {arm: len(seeds[arm]) for arm in seeds}
    )
    complete = counts.groupby(by, sort=False, observed=True)["_complete"].all().reindex(table.index)
    table[["mean", "std"]] = table[["mean", "std"]].where(complete.astype(bool), np.nan, axis=0)
    half = half_width(table["std"].to_numpy(), table["n"].to_numpy())
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    return table.reset_index()[[*by, "mean", "low", "high", "n"]]


def collect_seeds(*frames: pd.DataFrame) -> dict[str, frozenset[int]]:
    """Return the seeds of each arm that occur in any of these frames."""
    seeds: dict[str, frozenset[int]] = {}
    for frame in frames:
        for arm, numbers in frame.groupby("arm", sort=False, observed=True)["seed"]:
            seeds[str(arm)] = seeds.get(str(arm), frozenset()) | frozenset(numbers.unique())
    return seeds


def select_seeds(rows: pd.DataFrame, seeds: SeedsByArm) -> pd.DataFrame:
    """Return the rows whose seed is among the seeds of their arm."""
    known = [(arm, seed) for arm, numbers in seeds.items() for seed in numbers]
    if not known:
        return rows.iloc[:0]
    pairs = pd.MultiIndex.from_frame(rows[["arm", "seed"]])
    return rows[pairs.isin(pd.MultiIndex.from_tuples(known))]
