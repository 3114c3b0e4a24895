"""The stability of a run's timings, from their raw samples, and the noise within A/A pairs.

The thresholds are the ones at which `torch.utils.benchmark` and pyperf warn.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.metric_names import MACHINE_UNITS
from runner.report.aa_differences import aa_differences
from runner.stats.intervals import abs_mean_bound
from runner.wording import quantity

TABLE, SAMPLE, ROUND = "times", "ms", "round"
IQR_WARNING, IQR_SEVERE = 0.10, 0.25  # IQR / median: both thresholds of torch.utils.benchmark
SPREAD = 0.10  # standard deviation / mean, pyperf
SHORTEST_MS = 1.0  # pyperf


@dataclass(frozen=True)
class SampleStability:
    """The stability of one set of timing samples.

    iqr       interquartile range / median
    spread    standard deviation / mean
    least_ms  shortest sample, in ms
    """

    name: str
    iqr: float
    spread: float
    least_ms: float


def measure_sample_sets(tables: Mapping[str, pd.DataFrame]) -> list[SampleStability]:
    """Return the stability of each set of two or more samples in the table `times`.

    The columns other than `ms` and `round` name the timed call. Without these two columns, the
    table has no sets.
    """
    table = tables.get(TABLE)
    if table is None or not {SAMPLE, ROUND} <= {*table.columns}:
        return []
    ms_of_all = pd.to_numeric(table[SAMPLE], errors="coerce")
    table = table.assign(**{SAMPLE: ms_of_all})[ms_of_all.notna()]
    names = [column for column in table.columns if column not in (SAMPLE, ROUND)]
    sets = []
    for key, rows in table.groupby(names, sort=False):
        ms = rows[SAMPLE].to_numpy(dtype=float)
        low, median, high = np.quantile(ms, [0.25, 0.5, 0.75])
        if len(ms) < 2 or median <= 0:
            continue
        parts = [
            str(value) if isinstance(value, str) else f"{name} {value}"
            for name, value in zip(names, key, strict=True)
        ]
        sets.append(
            SampleStability(
                " ".join(parts),
                float((high - low) / median),
                float(ms.std(ddof=1) / ms.mean()),
                float(ms.min()),
            )
        )
    return sets


def stability_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return one line on all timings of a run; no line for a run without timings."""
    sets = measure_sample_sets(tables)
    if not sets:
        return []
    unsteady, severe = (sum(one.iqr > limit for one in sets) for limit in (IQR_WARNING, IQR_SEVERE))
    wide = sum(one.spread >= SPREAD for one in sets)
    short = sum(one.least_ms < SHORTEST_MS for one in sets)
    worst = max(sets, key=lambda one: one.iqr)
    return [
        f"timing stability of {len(sets)} sample sets: IQR above {IQR_WARNING:.2f} of the median "
        f"in {unsteady}, above {IQR_SEVERE:.2f} in {severe} (where torch.utils.benchmark warns). "
        f"Standard deviation of {SPREAD:.0%} of the mean or more in {wide}, a sample under "
        f"{SHORTEST_MS:g} ms in {short} (where pyperf warns). A sample that is the mean of several "
        f"calls was timed for longer than its value. The least steady set is {worst.name}, with an "
        f"IQR of {worst.iqr:.2f} of the median"
    ]


def aa_difference_lines(
    results: pd.DataFrame, aa_pairs: Mapping[str, str], metric: str, said: str = ""
) -> list[str]:
    """Return a sentence for each A/A pair: its difference, which is due to chance.

    `said` is the text before the sentence: a unit that it names is not repeated. Times and sizes
    always have their unit.
    """
    rows = results[results["metric"] == metric]
    unit = str(rows["unit"].iloc[0]) if len(rows) else ""
    display = quantity.display_unit(unit, rows.groupby("arm")["value"].mean().tolist())
    if display.name == unit and unit not in (*MACHINE_UNITS, "bytes") and f" {unit}" in said:
        display = quantity.PLAIN
    lines = []
    for _, original, interval, n_seeds in aa_differences(results, aa_pairs, metric):
        mean, low, high, n = interval
        seeds = f" ({n} of {n_seeds} seeds)" if n < n_seeds else ""
        finer = quantity.amount_unit(unit, mean, display)
        amount = quantity.format_amount(mean, low, high, finer)
        # With one difference under all seeds, the interval is rounding and says nothing.
        excludes_zero = quantity.shows_spread(mean, low, high) and not low <= 0 <= high
        remark = "; the interval excludes 0, which chance does in 5 % of studies"
        pair = f"Two copies of {original} differ by {amount}{seeds}"
        lines.append(f"{pair}{remark if excludes_zero else ''}.")
    return lines


def noise_floor_lines(results: pd.DataFrame, aa_pairs: Mapping[str, str], metric: str) -> list[str]:
    """Return the noise floor of a time or memory metric, a line for each A/A pair.

    Claims use the same noise floor: `stats.intervals.abs_mean_bound` of the differences A - A.
    """
    rows = results[results["metric"] == metric]
    unit = str(rows["unit"].iloc[0]) if len(rows) else ""
    if unit not in MACHINE_UNITS:
        return []
    values = rows.pivot(index="seed", columns="arm", values="value").astype(float)
    lines = []
    for copy, original in aa_pairs.items():
        if {copy, original} <= {*values.columns}:
            pairs = values[[copy, original]].dropna(how="all")
            differences = (pairs[copy] - pairs[original]).to_numpy()
            differences = differences[np.isfinite(differences)]
            if len(differences) > 1:
                floor = abs_mean_bound(differences)
                missing = len(differences) < len(pairs)
                amount = quantity.format_quantity(floor, unit)
                lines.append(
                    f"noise floor (A/A pair {copy} minus {original}): ±{amount}"
                    + (f" ({len(differences)} of {len(pairs)} seeds)" if missing else "")
                )
    return lines or ["noise floor: unknown, as no A/A pair has values for two seeds"]
