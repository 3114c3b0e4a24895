"""The tables of arms: results of each headline, and costs. A column has one unit.

Rows and columns without a value are left out. Second arms of A/A pairs and control arms come last.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from runner.claims.headline import Headline
from runner.metric_names import MACHINE_UNITS
from runner.report import timing_stability, trial_notes
from runner.report.headlines import HeadlineComparison
from runner.report.study_record import StudyRecord
from runner.wording import quantity
from runner.wording.phrases import capitalise
from runner.wording.quantity import DisplayUnit

DIRECTION_WORDS = {
    "less": "lower is better",
    "greater": "higher is better",
    "none": "neither direction is better",
}
EXACT = "Exact values: every seed of an arm gave the same one."
NO_VALUE_WORDS = "no value"
BASELINE = "baseline"


def comparison_table(
    study: StudyRecord,
    headline: Headline,
    compared: Sequence[HeadlineComparison],
    summary: pd.DataFrame,
) -> dict[str, Any]:
    """Return the table of one headline metric: a row per arm, in the order of the arms.

    An arm without a value has a row only if it is compared, because then it is undecided.
    """
    means = summary[summary["metric"] == headline.metric]
    # Arms with another unit than the baseline have no place under this heading.
    of_baseline = means[means["arm"] == study.baseline_of(headline)]
    if len(of_baseline):
        means = means[means["unit"] == of_baseline["unit"].iloc[0]]
    mine = {row["arm"]: row for row in means.to_dict("records")}
    against = {one.arm: one for one in compared if one.headline is headline}
    baseline = study.baseline_of(headline)
    unit = str(means["unit"].iloc[0]) if len(means) else ""
    if not against:
        unit = study.value_unit(headline.metric, unit)
    display = quantity.display_unit(unit, means["mean"].tolist())
    is_exact = _are_exact(mine.values())
    apart = {*study.apart} - {baseline}
    rows = []
    for arm in sorted(study.arms, key=lambda arm: arm in apart):
        if arm not in mine and arm not in against:
            continue
        row = _row(study, arm, mine.get(arm), display, marks_exact=not is_exact)
        if arm in against:
            row |= _result(against[arm], marks_exact=not is_exact)
        else:
            role = _role(study, arm, baseline)
            row["standing"] = row["words"] = role if against or role != BASELINE else ""
        rows.append(row | {"apart": arm in apart})
    number = DisplayUnit("", display.factor)  # the heading of the table has the unit
    detectable = {
        f"{one.arm} {quantity.format_amount(effect, math.nan, math.nan, number)}"
        for one in against.values()
        if math.isfinite(effect := one.decision.minimum_detectable_effect) and not one.is_same
    }
    return {
        "label": headline.label,
        "title": capitalise(headline.label),
        "metric": headline.metric,
        "unit": display.name,
        "direction": DIRECTION_WORDS[headline.direction],
        "baseline": baseline,
        "rows": rows,
        "has_difference": any(row["difference"] for row in rows),
        "has_p": any(row["p"] for row in rows),
        "has_result": any(row["words"] for row in rows),
        "detectable": sorted(detectable),
        "notes": [EXACT] if is_exact else [],
        "noise": _noise(study, headline.metric),
    }


def _row(
    study: StudyRecord, arm: str, mean: Any, display: DisplayUnit, *, marks_exact: bool
) -> dict[str, Any]:
    """Return an arm's row with its mean; the columns of a comparison are empty."""
    row = {"arm": arm, "value": NO_VALUE_WORDS, "sort": "", "difference": "", "p": ""}
    row |= {"standing": "", "words": "", "caveat": "", "sort_difference": "", "sort_p": ""}
    if mean is not None:
        limits = study.possible_interval(mean["metric"], mean["low"], mean["high"])
        text = quantity.format_mean(
            mean["mean"], *limits, int(mean["n"]), display=display, marks_exact=marks_exact
        )
        row["value"] = text + _of_planned(study, arm, int(mean["n"]))
        row["sort"] = repr(float(mean["mean"]))
    return row


def _result(one: HeadlineComparison, *, marks_exact: bool) -> dict[str, str]:
    """Return the columns of a comparison; without a p-value, that column is empty."""
    interval, p = one.decision.interval, one.decision.p
    difference = ""
    if interval is not None:
        difference = quantity.format_mean(
            *interval, is_difference=True, display=one.display, marks_exact=marks_exact
        )
    return {
        "difference": difference,
        "sort_difference": repr(float(interval.mean)) if interval else "",
        "p": quantity.format_p_value(p) if math.isfinite(p) else "",
        "sort_p": repr(float(p)) if math.isfinite(p) else "",
        "standing": str(one.standing),
        "words": one.words,
        "caveat": one.words.removeprefix(str(one.standing)).removeprefix(",").strip(),
    }


def _are_exact(rows: Iterable[Any]) -> bool:
    """Return whether every arm's value is the same at several seeds, as a count is."""
    exact = [math.isnan(row["low"]) and row["n"] > 1 for row in rows]
    return bool(exact) and all(exact)


def _of_planned(study: StudyRecord, arm: str, n: int) -> str:
    """Return " (6 of 8 seeds)" if a mean is not over all planned seeds of an arm; else ""."""
    planned = int((study.trials["arm"] == arm).sum())
    return f" ({n} of {planned} seeds)" if n < planned else ""


def _role(study: StudyRecord, arm: str, baseline: str) -> str:
    """Return the role of an arm that is not compared with the baseline."""
    if arm == baseline:
        return BASELINE if len(study.arms) > 1 else ""
    if arm in study.aa_pairs:
        return f"A/A pair of {study.aa_pairs[arm]}"
    if arm in study.controls:
        return "control arm"
    if study.seed_offsets.get(arm) != study.seed_offsets.get(baseline):
        return "other seeds"
    return "" if study.fairness.same_task(arm, baseline) else "another task: not compared"


def cost_table(study: StudyRecord, summary: pd.DataFrame) -> dict[str, Any]:
    """Return each arm's costs, a column per cost metric; counts also relative to the baseline.

    Times and memory are left out if the trials come from different machines.
    """
    units = summary.drop_duplicates("metric").set_index("metric")["unit"]
    left_out = MACHINE_UNITS if trial_notes.machines_differ(study.trials) else frozenset()
    metrics = [m for m in study.cost_metrics if m in units and units[m] not in left_out]
    cells = {(row["arm"], row["metric"]): row for row in summary.to_dict("records")}
    columns = []
    for metric in metrics:
        mine = [cell for (_, name), cell in cells.items() if name == metric]
        display = quantity.display_unit(str(units[metric]), [cell["mean"] for cell in mine])
        columns.append((metric, display))
    rows = []
    apart = {*study.apart} - {study.baseline}
    for arm in sorted(study.arms, key=lambda arm: arm in apart):
        row = [
            _cost_cell(cells.get((arm, metric)), cells.get((study.baseline, metric)), display)
            for metric, display in columns
        ]
        if any(text != quantity.NO_VALUE for text, _ in row):
            rows.append({"arm": arm, "cells": row, "apart": arm in apart})
    noise = [
        f"{study.label(metric)}: {line}" for metric in metrics for line in _noise(study, metric)
    ]
    head = [_cost_name(study, metric, display) for metric, display in columns]
    return {"head": head, "rows": rows, "noise": noise}


def _cost_name(study: StudyRecord, metric: str, display: DisplayUnit) -> str:
    """Return the head of a cost column: the metric in words, with its unit."""
    label = study.label(metric)
    if label == metric:
        label = metric.partition("/")[2].replace("_", " ") if metric.startswith("cost/") else metric
    unit = display.name.removesuffix("parameters").strip()
    return f"{label} ({unit})" if unit else label


def _noise(study: StudyRecord, metric: str) -> list[str]:
    """Return the noise floors of a metric that depends on the machine."""
    if study.scale == "smoke" or len(study.arms) < 2:
        return []
    return timing_stability.noise_floor_lines(study.results, study.aa_pairs, metric)


def _cost_cell(cell: Any, base: Any, display: DisplayUnit) -> tuple[str, str]:
    """Return a cost with its deviation from the baseline's, and its value to sort by."""
    if cell is None:
        return quantity.NO_VALUE, ""
    numbers = (cell["mean"], cell["low"], cell["high"], int(cell["n"]))
    text = quantity.format_mean(*numbers, display=display, marks_exact=False)
    return text + _cost_deviation(cell, base), repr(float(cell["mean"]))


def _cost_deviation(cell: Any, base: Any) -> str:
    """Return a count's ratio to the baseline's, after any matching: " (+3.2 %)", " (3.0 x)"."""
    if base is None or not math.isnan(cell["low"]) or not base["mean"]:
        return ""
    ratio = cell["mean"] / base["mean"]
    if 0.5 < ratio < 2:
        return f" ({100 * (ratio - 1):+.1f} %)" if ratio != 1 else ""
    return f" ({ratio:.1f} x)" if ratio < 9.95 else f" ({ratio:,.0f} x)"
