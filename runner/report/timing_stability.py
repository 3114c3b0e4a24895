"""How steady a run's timings are, from their raw samples, and what an A/A pair shows of noise.

The thresholds are those at which `torch.utils.benchmark` and pyperf warn.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.metric_names import MACHINE_UNITS
from runner.stats.intervals import abs_mean_bound, mean_interval
from runner.wording import quantity

TABLE, SAMPLE, ROUND = "times", "ms", "round"
SOME, GROSS = 0.10, 0.25  # IQR / median, torch.utils.benchmark: warning, and "treat with suspicion"
SPREAD = 0.10  # standard deviation / mean, pyperf
SHORTEST_MS = 1.0  # pyperf


@dataclass(frozen=True)
class SampleStability:
    """One set of samples: what was timed, IQR / median, standard deviation / mean, the least ms."""

    name: str
    iqr: float
    spread: float
    least_ms: float


def measure_sample_sets(tables: Mapping[str, pd.DataFrame]) -> list[SampleStability]:
    """Every set of two or more samples in the table `times`.

    The columns beside `ms` and `round` say what was timed; without these two there are no sets.
    """
    table = tables.get(TABLE)
    if table is None or not {SAMPLE, ROUND} <= {*table.columns}:
        return []
    ms_of_all = pd.to_numeric(table[SAMPLE], errors="coerce")
    table = table.assign(**{SAMPLE: ms_of_all})[ms_of_all.notna()]
    names = [column for column in table.columns if column not in (SAMPLE, ROUND)]
    found = []
    for key, rows in table.groupby(names, sort=False):
        ms = rows[SAMPLE].to_numpy(dtype=float)
        low, median, high = np.quantile(ms, [0.25, 0.5, 0.75])
        if len(ms) < 2 or median <= 0:
            continue
        parts = [
            str(value) if isinstance(value, str) else f"{name} {value}"
            for name, value in zip(names, key, strict=True)
        ]
        found.append(
            SampleStability(
                " ".join(parts),
                float((high - low) / median),
                float(ms.std(ddof=1) / ms.mean()),
                float(ms.min()),
            )
        )
    return found


def stability_notes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """One line on all timings of a run; none where nothing was timed."""
    sets = measure_sample_sets(tables)
    if not sets:
        return []
    some, gross = (sum(one.iqr > limit for one in sets) for limit in (SOME, GROSS))
    wide = sum(one.spread >= SPREAD for one in sets)
    short = sum(one.least_ms < SHORTEST_MS for one in sets)
    worst = max(sets, key=lambda one: one.iqr)
    return [
        f"of {len(sets)} timed sample sets {some} have an IQR above {SOME:.2f} of the median and "
        f"{gross} above {GROSS:.2f} (where torch.utils.benchmark warns), {wide} a standard "
        f"deviation of {SPREAD:.0%} of the mean or more and {short} a value under "
        f"{SHORTEST_MS:g} ms (where pyperf warns; calls that are averaged ran longer); the least "
        f"steady is {worst.name} with an IQR of {worst.iqr:.2f} of the median"
    ]


def aa_difference_lines(results: pd.DataFrame, copies: Mapping[str, str], metric: str) -> list[str]:
    """By how much two copies of an arm differ, which is chance alone: a sentence for each pair."""
    rows = results[results["metric"] == metric]
    values = rows.pivot(index="seed", columns="arm", values="value").astype(float)
    lines = []
    for copy, original in copies.items():
        if {copy, original} <= {*values.columns}:
            differences = (values[copy] - values[original]).dropna().to_numpy()
            if len(differences) > 1 and differences.any():
                same = mean_interval(differences)
                shown = quantity.format_mean(*same, is_difference=True)
                n, planned = len(differences), len(values)
                of = f" ({n} of {planned} seeds)" if n < planned else ""
                lines.append(f"Two copies of {original} differ by {shown}{of}.")
    return lines


def noise_floor_lines(results: pd.DataFrame, copies: Mapping[str, str], metric: str) -> list[str]:
    """The noise floor of a metric of a clock or an allocator, a line for each A/A pair.

    It is that of claims: `stats.intervals.abs_mean_bound` of the differences A - A.
    """
    rows = results[results["metric"] == metric]
    unit = str(rows["unit"].iloc[0]) if len(rows) else ""
    if unit not in MACHINE_UNITS:
        return []
    values = rows.pivot(index="seed", columns="arm", values="value").astype(float)
    lines = []
    for copy, original in copies.items():
        if {copy, original} <= {*values.columns}:
            pairs = values[[copy, original]].dropna(how="all")
            differences = (pairs[copy] - pairs[original]).to_numpy()
            differences = differences[np.isfinite(differences)]
            if len(differences) > 1:
                floor = abs_mean_bound(differences)
                missing = len(differences) < len(pairs)
                lines.append(
                    f"noise floor (A/A {copy} - {original}): ±{quantity.format_quantity(floor, unit)}"
                    + (f" ({len(differences)} of {len(pairs)} seeds)" if missing else "")
                )
    return lines or ["noise floor: unknown, as no A/A pair of arms has values of two seeds"]
