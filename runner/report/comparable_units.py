"""Metrics whose units differ between arms, such as losses per token of two vocabularies.

A loss per token of one vocabulary says nothing about a loss per token of another. Comparisons leave
such arms out. Where all arms also have the loss per byte, the answer uses that instead. Where they
have one vocabulary, page and terminal have a table of the loss per byte too.
"""

import dataclasses

import pandas as pd

from runner.claims.headline import Headline
from runner.report.study_record import StudyRecord

PER_BYTE = {"val/loss": "val/nats_per_byte"}
"""Metric -> the metric that compares arms with different vocabularies."""


def use_comparable_metrics(study: StudyRecord) -> StudyRecord:
    """Return the study with headlines that its arms can be compared in, and a note on others."""
    notes, headlines = [], []
    for headline in study.headline:
        arms_by_unit = find_units(study, headline)
        if len(arms_by_unit) < 2:
            headlines.append(headline)
            continue
        arms = [arm for names in arms_by_unit.values() for arm in names]
        other = PER_BYTE.get(headline.metric, "")
        text = "; ".join(f"{unit}: {', '.join(names)}" for unit, names in arms_by_unit.items())
        fact = f"{headline.metric} has other units in other arms ({text}) and is not compared"
        if has_values(study.results, other, arms):
            # Another headline may have this metric already.
            if other not in {each.metric for each in (*study.headline, *headlines)}:
                label = f"{headline.label} per byte"
                headlines.append(dataclasses.replace(headline, metric=other, label=label))
            notes.append(f"{fact}; the answer is about {other}")
        else:
            headlines.append(headline)
            notes.append(f"{fact} between them")
    if not notes:
        return study
    return dataclasses.replace(study, headline=headlines, notes=[*study.notes, *notes])


def displayed_headlines(study: StudyRecord) -> list[Headline]:
    """Return the headlines, each loss per token followed by the loss per byte, if there is one.

    The latter has a table of its values only. It is not compared, since the two losses differ by a
    constant factor, and a further test would make all others stricter.
    """
    headlines, own = [], {headline.metric for headline in study.headline}
    for headline in study.headline:
        headlines.append(headline)
        other = PER_BYTE.get(headline.metric, "")
        units = set(study.results.loc[study.results["metric"] == headline.metric, "unit"])
        rows = study.results[study.results["metric"] == other]
        if len(rows) and not units <= set(rows["unit"]) and other not in own:
            label = f"{headline.label} per byte"
            headlines.append(dataclasses.replace(headline, metric=other, label=label))
            own.add(other)
    return headlines


def find_units(study: StudyRecord, headline: Headline) -> dict[str, list[str]]:
    """Return unit -> arms, of the arms that have the task of the headline's baseline."""
    rows = study.results[study.results["metric"] == headline.metric]
    units = dict(zip(rows["arm"], rows["unit"], strict=True))
    baseline = study.baseline_of(headline)
    arms_by_unit: dict[str, list[str]] = {}
    for arm in study.arms:
        if arm in units and study.fairness.same_task(arm, baseline):
            arms_by_unit.setdefault(str(units[arm]), []).append(arm)
    return arms_by_unit


def has_values(results: pd.DataFrame, metric: str, arms: list[str]) -> bool:
    """Return whether all these arms have a metric in one unit."""
    rows = results[(results["metric"] == metric) & results["arm"].isin(arms)]
    return {*rows["arm"]} == {*arms} and rows["unit"].nunique() == 1
