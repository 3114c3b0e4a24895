"""The answer in one computed sentence; no experiment writes its conclusion by hand."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from runner import quantity
from runner.record import Headline, StudyRecord
from runner.verdicts import Finding

ALPHA = 0.05
SMOKE = "A smoke run proves only that everything runs; it is no evidence for or against any arm."


def standing(row: Mapping[Any, Any], headline: Headline) -> str:
    """`better`, `worse`, `not told apart` from the baseline, or `one seed`.

    Told apart takes both: an interval without zero and the exact test, corrected over the arms,
    below 0.05. A difference that is the same at every seed needs no test.
    """
    if row["n"] < 2:
        return "one seed"
    exact = math.isnan(row["low"]) and row["difference"] != 0
    apart = (row["low"] > 0 or row["high"] < 0) and row["p_holm"] < ALPHA
    if not (apart or exact):
        return "not told apart"
    return "better" if (row["difference"] < 0) == (headline.direction == "less") else "worse"


def rows_of(comparison: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The comparisons of one metric with the baseline, in the order of the arms."""
    return comparison[comparison["metric"] == metric]


def answer(study: StudyRecord, comparison: pd.DataFrame, findings: Sequence[Finding]) -> str:
    """Which arms are better, worse or not told apart, by how much; then the verdicts."""
    if study.scale == "smoke":
        return SMOKE
    parts = [_headline(study, comparison, headline) for headline in study.headline]
    counts = Counter(str(finding.verdict) for finding in findings)
    if counts:
        told = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
        parts.append(f"Of {len(findings)} published claims checked: {told}.")
    bad = Counter(status for status in study.trials["status"] if status != "done")
    if bad:
        counted = ", ".join(f"{n} {status}" for status, n in bad.most_common())
        parts.append(f"Not every trial ended well: {counted} of {len(study.trials)}.")
    return " ".join(part for part in parts if part)


def _headline(study: StudyRecord, comparison: pd.DataFrame, headline: Headline) -> str:
    rows = rows_of(comparison, headline.metric)
    if rows.empty:
        return f"{_upper(headline.label)} has nothing to compare with {study.baseline}."
    groups: dict[str, list[str]] = {}
    for row in rows.to_dict("records"):
        by = quantity.with_interval(
            row["difference"], row["low"], row["high"], int(row["n"]), difference=True
        )
        groups.setdefault(standing(row, headline), []).append(f"{row['arm']} ({by})")
    order = ("better", "worse", "not told apart", "one seed")
    verbs = {
        "better": "better are",
        "worse": "worse are",
        "not told apart": "not told apart:",
        "one seed": "no interval, as there is only one seed:",
    }
    told = "; ".join(f"{verbs[key]} {', '.join(groups[key])}" for key in order if key in groups)
    low, high = int(rows["n"].min()), int(rows["n"].max())
    seeds = f"{high} paired seeds" if low == high else f"{low} to {high} paired seeds"
    unit = str(rows["unit"].iloc[0])
    shown = f", in {unit}" if unit not in ("", "1") else ""
    wanted = "lower" if headline.direction == "less" else "higher"
    return (
        f"{_upper(headline.label)} against {study.baseline} ({wanted} is better; difference{shown} "
        f"with its 95 % interval, {seeds}): {told}."
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
