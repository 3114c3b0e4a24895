"""Tables of arms: the difference from the baseline in every metric, and the mean of each arm."""

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
    """Return a row for each other arm and each metric that it shares with the baseline.

    A metric that the two arms have in different units is left out. The table is exploratory:
    `judge` judges claims, and `runner.stats.standing` the answer.

    - Means are over the `n` seeds where both values are finite. So `difference` is
      arm_mean - baseline_mean.
    - Intervals are 95 % t-intervals (`runner.stats.intervals.half_width`), of `difference` over the
      paired differences. They assume independent normal seeds.
    - `p_sign_flip` is two-sided and not corrected for the number of rows (see
      `runner.stats.sign_flip`).
    - `n_missing` is the number of `seeds` without a pair of values.
    - If neither arm has a spread, as for parameter counts, the difference is exact. Its interval
      and p-value are NaN.
    - If the arms have a spread but the same difference at every seed, the interval is a point, and
      the difference is tested as usual.
    - One pair of values gives no difference (NaN).

    Args:
        results: columns arm, seed, metric, value, unit.
        baseline: the arm that all others are compared with.
        metrics: the metrics to compare; by default all.
        seeds: the planned seeds; by default those of the results.

    Raises:
        ValueError: the baseline or a metric is not in the results.
    """
    import pandas as pd

    arms = results.arm.unique().tolist()
    if baseline not in arms:
        raise ValueError(f"there is no arm {baseline!r}; {name_hint(baseline, arms)}")
    known = results.metric.unique().tolist()
    for metric in metrics or ():
        if metric not in known:
            raise ValueError(f"there is no metric {metric!r}; {name_hint(metric, known)}")
    wide = pivot_results(results)
    planned = len(seeds) if seeds is not None else len(wide)
    base = wide[baseline]
    compared = [m for m in (known if metrics is None else metrics) if m in base.columns]
    own = results.drop_duplicates(["arm", "metric"])
    unit_of = dict(zip(zip(own.arm, own.metric, strict=True), own.unit, strict=True))
    tables: list[pd.DataFrame] = []
    for arm in arms:
        shared = [
            m
            for m in compared
            if m in wide[arm].columns and unit_of[arm, m] == unit_of[baseline, m]
        ]
        if arm != baseline and shared:
            columns = _contrast(wide[arm][shared].to_numpy(), base[shared].to_numpy())
            rows = pd.DataFrame(columns).assign(arm=arm, baseline=baseline, metric=shared)
            tables.append(rows)
    if not tables:
        return pd.DataFrame(columns=COMPARISON_COLUMNS)
    table = pd.concat(tables, ignore_index=True)
    table["unit"] = [unit_of[baseline, metric] for metric in table.metric]
    table["n_missing"] = planned - table.n
    return table[COMPARISON_COLUMNS]


def pivot_results(results: "DataFrame") -> "DataFrame":
    """Return final values with a row per seed and a column per (arm, metric); NaN if missing."""
    return results.pivot(index="seed", columns=["arm", "metric"], values="value").astype(float)


def _contrast(arm: Floats, base: Floats) -> dict[str, Floats]:
    """Return columns of `compare_with_baseline` for two arrays (seeds, metrics); NaN is missing."""
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
            # Arms with a spread but one difference at all seeds: the interval has width 0.
            sd = np.where(np.isnan(sd) & ~exact & (n > 1), 0.0, sd)
        exact &= np.isnan(sd)
        half = half_width(sd, n)
        columns |= {low: centre - half, mean: centre, high: centre + half}
    columns["difference"] = np.where(n < 2, np.nan, columns["difference"])
    # Seeds without a pair have difference 0 here, which changes no sign-flip p-value.
    p = sign_flip_rows(differences.T)
    columns["p_sign_flip"] = np.where(np.isnan(sd), np.nan, p)
    return columns


def _moments(values: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Return mean and sd (ddof 1) over seeds; sd is NaN without spread or with one value."""
    finite = np.isfinite(values)
    n = finite.sum(axis=0)
    mean = np.where(finite, values, 0.0).sum(axis=0) / np.where(n, n, np.nan)
    square = np.where(finite, values - mean, 0.0) ** 2
    sd = np.sqrt(square.sum(axis=0) / np.where(n < 2, np.nan, n - 1))
    ends = (
        np.where(finite, values, -np.inf).max(axis=0),
        np.where(finite, values, np.inf).min(axis=0),
    )
    return mean, np.where(ends[0] - ends[1] > ROUNDING_TOLERANCE * scale, sd, np.nan)


def summarise_arms(results: "DataFrame") -> "DataFrame":
    """Return the mean and 95 % t-interval of every arm and metric over seeds with finite values.

    The interval assumes independent normal seeds (`runner.stats.intervals.half_width`). It is NaN
    for one seed, and for values without spread. Columns: arm, metric, unit, n, mean, low, high.
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
