"""Tables that compare arms: every metric against the baseline, and every arm alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from runner.stats.intervals import ROUNDING_TOLERANCE, Floats, half_width
from runner.stats.sign_flip import sign_flip_rows
from runner.wording.names import name_hint

if TYPE_CHECKING:
    from pandas import DataFrame

COMPARISON_COLUMNS = [
    *("arm", "baseline", "metric", "unit", "n", "n_missing"),
    *("arm_mean", "arm_low", "arm_high", "baseline_mean", "baseline_low", "baseline_high"),
    *("difference", "low", "high", "p_sign_flip"),
]


def compare_with_baseline(
    results: "DataFrame",
    baseline: str,
    metrics: Sequence[str] | None = None,
    *,
    seeds: Sequence[int] | None = None,
) -> "DataFrame":
    """Every other arm against the baseline, a row per arm and metric that both have.

    Exploratory: claims are judged by `judge`, and the answer by `runner.stats.standing`. Means are
    over the `n` seeds where both values are finite, so `difference` is arm_mean - baseline_mean;
    intervals are 95 %. `n_missing` counts the other `seeds` (those of the results, if not given).
    Where neither arm has a spread (parameter counts) there is no interval and no p, and the
    difference is exact. Arms with a spread and the same difference at every seed are tested like
    any, their interval is a point. A single pair has no difference at all. `p_sign_flip` is
    corrected for nothing.
    """
    import pandas as pd

    arms = list(dict.fromkeys(results.arm))
    if baseline not in arms:
        raise ValueError(f"there is no arm {baseline!r}; {name_hint(baseline, arms)}")
    known = list(dict.fromkeys(results.metric))
    for metric in metrics or ():
        if metric not in known:
            raise ValueError(f"there is no metric {metric!r}; {name_hint(metric, known)}")
    wide = pivot_results(results)
    planned = len(seeds) if seeds is not None else len(wide)
    base = wide[baseline]
    shown = [m for m in (known if metrics is None else metrics) if m in base.columns]
    tables: list[pd.DataFrame] = []
    for arm in arms:
        shared = [m for m in shown if m in wide[arm].columns]
        if arm != baseline and shared:
            columns = _contrast(wide[arm][shared].to_numpy(), base[shared].to_numpy())
            rows = pd.DataFrame(columns).assign(arm=arm, baseline=baseline, metric=shared)
            tables.append(rows)
    if not tables:
        return pd.DataFrame(columns=COMPARISON_COLUMNS)
    table = pd.concat(tables, ignore_index=True)
    units = results.drop_duplicates("metric").set_index("metric").unit
    table["unit"] = table.metric.map(units)
    table["n_missing"] = planned - table.n
    return table[COMPARISON_COLUMNS]


def pivot_results(results: "DataFrame") -> "DataFrame":
    """Final values with a row per seed and a column per (arm, metric); NaN where one is missing."""
    return results.pivot(index="seed", columns=["arm", "metric"], values="value").astype(float)


def _contrast(arm: Floats, base: Floats) -> dict[str, Floats]:
    """Columns of `compare_with_baseline` for two arrays of shape (seeds, metrics); NaN is a missing value."""
    both = np.isfinite(arm) & np.isfinite(base)
    n = both.sum(axis=0)
    columns: dict[str, Floats] = {"n": n}
    differences = np.where(both, arm, 0.0) - np.where(both, base, 0.0)
    scale = np.abs(np.where(both, [arm, base], 0.0)).max(axis=(0, 1))
    exact = np.full(n.shape, True)
    for low, mean, high, values in (
        ("arm_low", "arm_mean", "arm_high", arm),
        ("baseline_low", "baseline_mean", "baseline_high", base),
        ("low", "difference", "high", differences),
    ):
        centre, sd = _moments(np.where(both, values, np.nan), scale)
        if values is differences:
            sd = np.where(np.isnan(sd) & ~exact & (n > 1), 0.0, sd)
        exact &= np.isnan(sd)
        half = half_width(sd, n)
        columns |= {low: centre - half, mean: centre, high: centre + half}
    columns["difference"] = np.where(n < 2, np.nan, columns["difference"])
    # Seeds without a pair are zeros here, which change no sign-flip p.
    p = sign_flip_rows(differences.T)
    columns["p_sign_flip"] = np.where(np.isnan(sd), np.nan, p)
    return columns


def _moments(values: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation (ddof 1) down the seeds; sd is NaN without spread or a pair."""
    there = np.isfinite(values)
    n = there.sum(axis=0)
    mean = np.where(there, values, 0.0).sum(axis=0) / np.where(n, n, np.nan)
    square = np.where(there, values - mean, 0.0) ** 2
    sd = np.sqrt(square.sum(axis=0) / np.where(n < 2, np.nan, n - 1))
    ends = np.where(there, values, -np.inf).max(axis=0), np.where(there, values, np.inf).min(axis=0)
    return mean, np.where(ends[0] - ends[1] > ROUNDING_TOLERANCE * scale, sd, np.nan)


def summarise_arms(results: "DataFrame") -> "DataFrame":
    """Mean and 95 % interval of every arm and metric over its seeds with a finite value.

    Columns arm, metric, unit, n, mean, low, high. One seed, or no spread, gives no interval.
    """
    finite = results[np.isfinite(results.value.astype(float))]
    groups = finite.groupby(["arm", "metric"], sort=False)
    table = groups.value.agg(n="count", mean="mean", sd="std", top="max", bottom="min")
    scale = np.maximum(table.top.abs(), table.bottom.abs())
    sd = table.sd.where(table.top - table.bottom > ROUNDING_TOLERANCE * scale)
    half = half_width(sd.to_numpy(), table.n.to_numpy())
    table = table.assign(unit=groups.unit.first(), low=table["mean"] - half)
    table["high"] = table["mean"] + half
    return table.reset_index()[["arm", "metric", "unit", "n", "mean", "low", "high"]]
