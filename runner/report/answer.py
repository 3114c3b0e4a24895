"""The answer in computed sentences; no experiment writes its conclusion by hand."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from runner import quantity
from runner.claims.finding import Finding
from runner.report.record import Headline, StudyRecord
from runner.stats.comparison import summarise

ALPHA = 0.05
WANTED = {
    "less": "lower is better",
    "greater": "higher is better",
    "none": "neither way is better",
}
UNSURE = (
    " What only looks better or worse does so by the interval, while the corrected exact test does "
    "not reach 0.05."
)
SMOKE = "A smoke run proves only that everything runs; it is no evidence for or against any arm."


def standing(row: Mapping[Any, Any], headline: Headline) -> str:
    """`better`, `worse` (`different` without a direction), `not told apart`, or `one seed`.

    Told apart takes both: an interval without zero and the exact test, corrected over the arms,
    below 0.05. Where the interval alone says so, an arm `looks better` (a few seeds cannot pass
    the corrected test against many arms, whatever the difference). Only counts need no test:
    values that are the same at every seed in both arms.
    """
    if row["n"] < 2:
        return "one seed"
    counts = math.isnan(row["arm_low"]) and math.isnan(row["baseline_low"])
    exact = counts and math.isnan(row["low"]) and row["difference"] != 0
    apart = row["low"] > 0 or row["high"] < 0
    if not (apart or exact):
        return "not told apart"
    sure = exact or row["p_holm"] < ALPHA
    if not sure and row["low"] == row["high"]:
        return "not told apart"  # no spread, no interval to speak of
    prefix = "" if sure else "looks "
    if headline.direction == "none":
        return f"{prefix}different"
    better = (row["difference"] < 0) == (headline.direction == "less")
    return prefix + ("better" if better else "worse")


def rows_of(study: StudyRecord, comparison: pd.DataFrame, headline: Headline) -> pd.DataFrame:
    """The comparisons of a headline's metric with its baseline, in the order of the arms."""
    baseline = study.baseline_of(headline)
    return comparison[
        (comparison["metric"] == headline.metric) & (comparison["baseline"] == baseline)
    ]


def answer(study: StudyRecord, comparison: pd.DataFrame, findings: Sequence[Finding]) -> list[str]:
    """The verdicts in a sentence; which arms differ by each headline, a line each; how to read it.

    An A/A arm that is not told apart, as it should be, is left out.
    """
    if study.scale == "smoke":
        return [SMOKE]
    compared = {h.metric: rows_of(study, comparison, h) for h in study.headline}
    lines = [_verdicts(findings)] if findings else []
    lines += [_headline(study, compared[h.metric], h) for h in study.headline]
    rows = pd.concat([*compared.values(), comparison.iloc[:0]])
    if len(rows):
        low, high = int(rows["n"].min()), int(rows["n"].max())
        seeds = f"{high}" if low == high else f"{low} to {high}"
        lines.append(
            f"In brackets: the mean difference and its 95 % interval, over {seeds} paired seeds."
            + (UNSURE if any(" look" in line for line in lines) else "")
        )
    bad = Counter(status for status in study.trials["status"] if status != "done")
    if bad:
        counted = ", ".join(f"{n} {status}" for status, n in bad.most_common())
        lines.append(f"Not every trial ended well: {counted} of {len(study.trials)}.")
    return lines


def _verdicts(findings: Sequence[Finding]) -> str:
    counts = Counter(str(finding.verdict) for finding in findings)
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
    claims = "published claim" if len(findings) == 1 else "published claims"
    return f"Of {len(findings)} {claims} checked: {told}."


def _alone(study: StudyRecord, headline: Headline) -> str:
    """What each arm reaches by a metric that there is nothing to compare by."""
    found = summarise(study.results[study.results["metric"] == headline.metric])
    if found.empty:
        return f"{_name(headline, '')}: there is nothing to compare."
    values = [
        f"{row['arm']} {quantity.with_interval(row['mean'], row['low'], row['high'], row['n'])}"
        for row in found.to_dict("records")
    ]
    return (
        f"{_name(headline, str(found['unit'].iloc[0]))}: {_together(values)} (mean with a 95 % "
        f"interval over {int(found['n'].max())} seeds)."
    )


def _headline(study: StudyRecord, rows: pd.DataFrame, headline: Headline) -> str:
    baseline = study.baseline_of(headline)
    if rows.empty:
        return _alone(study, headline)
    groups: dict[str, list[str]] = {}
    copies = study.copies
    quiet = [
        row["arm"]
        for row in rows.to_dict("records")
        if row["arm"] in copies and standing(row, headline) == "not told apart"
    ]
    for row in rows.to_dict("records"):
        if row["arm"] in quiet and len(quiet) < len(rows):
            continue
        by = quantity.with_interval(
            row["difference"], row["low"], row["high"], int(row["n"]), difference=True
        )
        groups.setdefault(standing(row, headline), []).append(f"{row['arm']} ({by})")
    verdicts = {
        "better": ("is", "are", f"better than {baseline}"),
        "different": ("is", "are", f"different from {baseline}"),
        "worse": ("is", "are", f"worse than {baseline}"),
        "looks better": ("looks", "look", f"better than {baseline}"),
        "looks different": ("looks", "look", f"different from {baseline}"),
        "looks worse": ("looks", "look", f"worse than {baseline}"),
        "not told apart": ("is", "are", f"not told apart from {baseline}"),
        "one seed": ("is", "are", "undecided, as there is only one seed"),
    }
    told = "; ".join(
        f"{_together(groups[key])} {one if len(groups[key]) == 1 else many} {verdict}"
        for key, (one, many, verdict) in verdicts.items()
        if key in groups
    )
    return f"{_name(headline, str(rows['unit'].iloc[0]))}: {told}."


def _name(headline: Headline, unit: str) -> str:
    """The headline's label with its unit, as the beginning of a sentence."""
    shown = f" ({unit})" if unit not in ("", "1") else ""
    return f"By {headline.label}{shown}"


def _together(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
