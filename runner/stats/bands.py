"""Means over seeds with their 95 % t-intervals, for many groups at once."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import numpy as np
import pandas as pd

from runner.stats.intervals import half_width

SeedsByArm = Mapping[str, AbstractSet[int]]  # arm -> the seeds that its mean is over


def mean_bands(
    rows: pd.DataFrame, by: list[str], *, seeds: SeedsByArm | None = None
) -> pd.DataFrame:
    """Columns `by`, mean, low, high, n (of the finite values); one value has no limits (NaN).

    A mean is that of the arm, or there is none: where a seed of the arm has no finite value, mean,
    low and high are NaN. `rows` have arm, seed and value. `seeds` are those that count; without
    them an arm has the seeds that occur anywhere in its `rows`.
    """
    if seeds is None:
        seeds = collect_seeds(rows)
    else:
        rows = select_seeds(rows, seeds)
    rows = rows.astype({"value": float})  # a file with nothing but its header is one of objects
    finite = np.isfinite(rows["value"])
    rows = rows.assign(value=rows["value"].where(finite), _seen=rows["seed"].where(finite))
    groups = rows.groupby(by, sort=False, observed=True)["value"]
    table = groups.agg(["mean", "std", "count"]).rename(columns={"count": "n"})
    # A mean over two arms (the same function in both) needs all seeds of each.
    of_arm = list(dict.fromkeys([*by, "arm"]))
    seen = rows.groupby(of_arm, sort=False, observed=True)["_seen"].nunique().reset_index()
    seen["whole"] = seen["_seen"] >= seen["arm"].map({arm: len(seeds[arm]) for arm in seeds})
    whole = seen.groupby(by, sort=False, observed=True)["whole"].all().reindex(table.index)
    table[["mean", "std"]] = table[["mean", "std"]].where(whole.astype(bool), np.nan, axis=0)
    half = half_width(table["std"].to_numpy(), table["n"].to_numpy())
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    return table.reset_index()[[*by, "mean", "low", "high", "n"]]


def collect_seeds(*frames: pd.DataFrame) -> dict[str, frozenset[int]]:
    """The seeds of each arm that occur in any of these frames."""
    found: dict[str, frozenset[int]] = {}
    for frame in frames:
        for arm, numbers in frame.groupby("arm", sort=False, observed=True)["seed"]:
            found[str(arm)] = found.get(str(arm), frozenset()) | frozenset(numbers.unique())
    return found


def select_seeds(rows: pd.DataFrame, seeds: SeedsByArm) -> pd.DataFrame:
    """The rows whose arm has their seed."""
    known = [(arm, seed) for arm, numbers in seeds.items() for seed in numbers]
    if not known:
        return rows.iloc[:0]
    pairs = pd.MultiIndex.from_frame(rows[["arm", "seed"]])
    return rows[pairs.isin(pd.MultiIndex.from_tuples(known))]
