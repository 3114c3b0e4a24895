"""The rows of a report's first figure: differences of the headline metrics and of A/A pairs."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from runner.claims.headline import Headline
from runner.figures.difference_rows import DifferenceBlock, DifferenceRow
from runner.figures.differences import Differences
from runner.figures.figure import DIFFERENCES
from runner.metric_names import NOTHING_IF_DIVERGED
from runner.report.aa_differences import AADifference, aa_differences
from runner.report.headlines import EQUAL_WORDS, HeadlineComparison
from runner.report.study_record import StudyRecord
from runner.stats.intervals import Interval
from runner.stats.standing import Standing
from runner.wording import quantity
from runner.wording.quantity import DisplayUnit

TITLE = "Differences from the baseline"
STANDING_TEXTS = {Standing.not_distinguished: "not significant"}
"""Shorter words than the answer's, next to a row."""
CAPTION = (
    "Each row is the mean difference of an arm from its baseline over the same seeds, with its "
    "95 % t-interval. At the right are its numbers and the result of the test. The test is "
    "corrected for all comparisons, so an interval without 0 may still be not significant. "
)
DETECTABLE_CAPTION = (
    "Short grey lines mark the smallest differences that 80 % of such studies would find, "
    "estimated from these seeds. "
)
AA_CAPTION = (
    "The row below the rule is an A/A pair: the same arm under other seeds, minus the arm. Only "
    "chance can make the two differ. They share no seeds, so their interval, the grey band, is "
    "wider than chance in the rows above. It is a check for errors and no threshold. "
)


def difference_figure(
    study: StudyRecord,
    comparisons: Sequence[HeadlineComparison],
    results: pd.DataFrame,
    summary: pd.DataFrame,
) -> dict[str, Differences]:
    """Return the figure by its key; empty if no headline metric has a value."""
    blocks = [
        block
        for headline in study.headline
        if (block := _block(study, headline, comparisons, results, summary)).rows
    ]
    if not blocks:
        return {}
    compared = any(block.baseline for block in blocks)
    caption = CAPTION if compared else "Means over seeds with their 95 % t-intervals. "
    if any(math.isfinite(row.detectable) for block in blocks for row in block.rows):
        caption += DETECTABLE_CAPTION
    if any(block.aa_rows for block in blocks):
        caption += AA_CAPTION
    controls = [name for name in study.controls if name in study.arms]
    if compared and controls:
        arms, verb = ", ".join(controls), "is" if len(controls) == 1 else "are"
        caption += f"{arms} {verb} for a positive control only and not compared."
    title = TITLE if compared else "Values of the headline metrics"
    return {DIFFERENCES: Differences(title=title, caption=caption.strip(), blocks=tuple(blocks))}


def _block(
    study: StudyRecord,
    headline: Headline,
    comparisons: Sequence[HeadlineComparison],
    results: pd.DataFrame,
    summary: pd.DataFrame,
) -> DifferenceBlock:
    """Return the block of a headline: differences, or values if nothing is compared."""
    mine = [one for one in comparisons if one.headline is headline]
    baseline = study.baseline_of(headline)
    if not mine:
        return _value_block(study, headline, summary)
    display = mine[0].display
    pairs = aa_differences(results, study.aa_pairs, headline.metric)
    rows = (
        *(_difference_row(one, results) for one in mine),
        *(_aa_row(pair, display) for pair in pairs),
    )
    axis = f"difference from {baseline}{_in_brackets(display)}"
    return DifferenceBlock(headline.label, axis, headline.direction, baseline, rows)


def _in_brackets(display: DisplayUnit) -> str:
    return f" ({display.name})" if display.name else ""


def _scaled(interval: Interval, display: DisplayUnit) -> Interval:
    mean, low, high = (value / display.factor for value in interval[:3])
    return Interval(mean, low, high, interval.n)


def _difference_row(one: HeadlineComparison, results: pd.DataFrame) -> DifferenceRow:
    interval = one.decision.interval or _single_difference(one, results)
    standing = STANDING_TEXTS.get(one.standing, str(one.standing))
    if interval is None:
        text = f"no value: {standing}"
        return DifferenceRow(one.arm, one.arm, math.nan, math.nan, math.nan, 0, text)
    scaled = _scaled(interval, one.display)
    if one.is_same:
        return DifferenceRow(one.arm, one.arm, *scaled, EQUAL_WORDS)
    text = f"{quantity.format_mean(*scaled, is_difference=True)}  {standing}"
    detectable = one.decision.minimum_detectable_effect / one.display.factor
    return DifferenceRow(one.arm, one.arm, *scaled, text, detectable)


def _single_difference(one: HeadlineComparison, results: pd.DataFrame) -> Interval | None:
    """Return the difference of the only seed that has both values; None without one."""
    rows = results[results["metric"] == one.headline.metric]
    by_arm = {arm: mine.set_index("seed")["value"] for arm, mine in rows.groupby("arm")}
    if not {one.arm, one.baseline} <= {*by_arm}:
        return None
    differences = (by_arm[one.arm] - by_arm[one.baseline]).to_numpy(dtype=float)
    differences = differences[np.isfinite(differences)]
    if len(differences) != 1:
        return None
    return Interval(float(differences[0]), math.nan, math.nan, 1)


def _aa_row(pair: AADifference, display: DisplayUnit) -> DifferenceRow:
    interval = _scaled(pair.interval, display)
    text = f"{quantity.format_mean(*interval, is_difference=True)}  only chance"
    name = f"A/A pair of {pair.original}"
    return DifferenceRow(pair.copy, name, *interval, text, is_apart=True)


def _value_block(study: StudyRecord, headline: Headline, summary: pd.DataFrame) -> DifferenceBlock:
    """Return the values of the headline's arms, without control arms and second arms of pairs."""
    mine = summary[summary["metric"] == headline.metric]
    mine = mine[mine["arm"].isin({*study.arms} - {*study.controls, *study.aa_pairs})]
    unit = "" if mine.empty else str(mine["unit"].iloc[0])
    display = quantity.display_unit(study.value_unit(headline.metric, unit), mine["mean"])
    declared = study.metric_declarations.get(headline.metric, NOTHING_IF_DIVERGED)
    possible = (declared.lowest / display.factor, declared.highest / display.factor)
    means = {row["arm"]: row for row in mine.to_dict("records")}
    rows = []
    for arm in study.arms:
        if arm in means:
            numbers = (means[arm][key] for key in ("mean", "low", "high", "n"))
            mean, low, high, n = _scaled(Interval(*numbers), display)
            low, high = np.clip((low, high), *possible)
            text = quantity.format_mean(mean, low, high, int(n))
            rows.append(DifferenceRow(arm, arm, mean, low, high, int(n), text))
    axis = f"mean{_in_brackets(display)}"
    return DifferenceBlock(headline.label, axis, "none", "", tuple(rows), possible)
