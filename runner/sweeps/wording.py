"""The words of a sweep's page: the answer over all points, and names of points."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from runner.report.headline_sentence import WORDS
from runner.stats.standing import Standing
from runner.sweeps.jobs import format_settings, format_value
from runner.sweeps.record import PointRecord, SweepHeadline, SweepRecord
from runner.wording import quantity
from runner.wording.names import format_count
from runner.wording.phrases import capitalise, join_with_and

MAX_NAMED = 6  # points that a sentence names
SMOKE = (
    "These points are smoke runs. They show that everything runs. They are not evidence for or "
    "against any arm."
)
NOTHING_COMPARED = "No arms are compared at these points. The table has the mean of each arm."
NOT_TESTED = "Each arm is compared with the baseline of its own point. Points are not compared."
SHORT_WORDS = {
    Standing.better: "is better",
    Standing.worse: "is worse",
    Standing.different: "is different",
    Standing.not_distinguished: "does not differ significantly",
    Standing.undecided: "is undecided",
}


def name_point(point: PointRecord) -> str:
    """Return a point's own name, or its settings, or its number."""
    return point.name or format_settings(point.settings) or f"point {point.number}"


def name_points(points: Sequence[PointRecord], n_all: int) -> str:
    """Return where something holds: "at ffn.n_experts=4 and 8", or "at 7 of 24 points"."""
    if len(points) == n_all and n_all > 1:
        return f"at all {n_all} points"
    if len(points) > MAX_NAMED:
        return f"at {len(points)} of {format_count(n_all, 'point')}"
    keys = {tuple(point.settings) for point in points if not point.name}
    if len(keys) == 1 and len(only := next(iter(keys))) == 1:
        values = [format_value(point.settings[only[0]]) for point in points]
        return f"at {only[0]}={join_with_and(values)}"
    return f"at {join_with_and([name_point(point) for point in points])}"


def answer_paragraphs(sweep: SweepRecord) -> list[list[str]]:
    """Return the answer: for each headline its sentences, the first of which is the result."""
    if sweep.is_smoke:
        return []
    paragraphs = []
    for headline in sweep.headlines:
        sentences = []
        for arm in headline.arms:
            rows = comparison_rows(sweep, headline, arm)
            if rows:
                sentences += _arm_sentences(sweep, headline, arm, rows)
        if sentences:
            paragraphs.append(sentences)
    return paragraphs


def comparison_rows(sweep: SweepRecord, headline: SweepHeadline, arm: str) -> list[dict[Any, Any]]:
    """Return an arm's comparisons in one headline, a row for each point."""
    table = sweep.comparison
    if not len(table):
        return []
    chosen = table[
        (table["arm"] == arm)
        & (table["metric"] == headline.metric)
        & (table["baseline"] == headline.baseline)
        & (table["experiment"] == headline.experiment)
    ]
    return chosen.to_dict("records")


def _arm_sentences(
    sweep: SweepRecord, headline: SweepHeadline, arm: str, rows: Sequence[Mapping[Any, Any]]
) -> list[str]:
    points_of: dict[Standing, list[PointRecord]] = {}
    for standing in Standing:
        mine = [sweep.point(row["point"]) for row in rows if row["sweep_standing"] == standing]
        if mine:
            points_of[standing] = mine
    n_all = len({row["point"] for row in rows})
    clauses = []
    for i, (standing, points) in enumerate(points_of.items()):
        where = name_points(points, n_all)
        subject = f"{arm} {WORDS[standing][0]} {headline.baseline}" if i == 0 else ""
        clauses.append(f"{subject or f'it {SHORT_WORDS[standing]}'} {where}")
    sentences = [f"In {sweep.label(headline)}, {'; '.join(clauses)}."]
    differences = [float(row["difference"]) for row in rows]
    finite = [value for value in differences if math.isfinite(value)]
    if len(finite) > 1:
        display = quantity.display_unit(headline.unit, finite)
        low, high = (
            quantity.format_difference(value / display.factor)
            for value in (min(finite), max(finite))
        )
        sentences.append(
            f"The mean difference, {arm} minus {headline.baseline}, lies between "
            f"{display.with_name(f'{low} and {high}')}."
        )
    return sentences


def certainty_lines(sweep: SweepRecord) -> list[str]:
    """Return lines on the intervals, the family of tests, and the points that failed."""
    lines = [SMOKE] if sweep.is_smoke else []
    if not sweep.is_smoke:
        if not answer_paragraphs(sweep):
            lines.append(NOTHING_COMPARED)
        else:
            lines.append(NOT_TESTED)
        lines += sweep.lines
    if failed := sweep.failed:
        states = [point.state for point in failed]
        counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
        lines.append(
            f"{capitalise(join_with_and(counts))}, of {format_count(len(sweep.points), 'point')}."
        )
    return lines
