"""The sentences on arms that a headline compares with no other arm: their means and misses."""

from collections.abc import Iterable
from math import isfinite

import numpy as np

from runner.claims.headline import Headline
from runner.report.headlines import has_no_done_trial
from runner.report.study_record import StudyRecord
from runner.stats.comparison import summarise_arms
from runner.wording import quantity
from runner.wording.phrases import capitalise, count_range, join_with_and


def level_sentences(
    study: StudyRecord, headline: Headline, arms: Iterable[str], *, is_whole_study: bool = False
) -> list[str]:
    """Return the means of arms that are compared with no other arm, and how many seeds miss."""
    listed = [arm for arm in arms if arm not in study.apart or is_whole_study]
    results = study.results[study.results["metric"] == headline.metric]
    results = results[results["arm"].isin(listed)]
    means = summarise_arms(results)
    lost = [a for a in listed if a not in {*means["arm"]} and has_no_done_trial(study, a)]
    without = f"{join_with_and(lost)} {'has' if len(lost) == 1 else 'have'} no result."
    name = f"{capitalise(headline.label)}:"
    if means.empty:
        if not is_whole_study:
            return []
        return [name, "no arm has a value.", *([without] if lost else [])]
    display = quantity.display_unit(
        study.value_unit(headline.metric, str(means["unit"].iloc[0])), means["mean"].tolist()
    )
    planned = study.trials.groupby("arm")["seed"].nunique()
    values = []
    for row in means.to_dict("records"):
        limits = study.possible_interval(headline.metric, row["low"], row["high"])
        notes = [
            f"{row['n']} of {planned[row['arm']]} seeds" if row["n"] < planned[row["arm"]] else "",
            misses(study, headline, results[results["arm"] == row["arm"]]["value"].to_numpy()),
        ]
        inside = "; ".join(filter(None, notes))
        values.append(
            f"{row['arm']} {quantity.format_level(row['mean'], *limits, display)}"
            + (f" ({inside})" if inside else "")
        )
    numbers = join_with_and(values)
    if not is_whole_study:
        numbers += ", on another task and therefore not compared"
    elif not results.empty and (means["n"] > 1).any():
        numbers += f", over {count_range(means['n'].tolist(), 'seed')}"
    return [*([name] if is_whole_study else []), f"{numbers}.", *([without] if lost else [])]


def misses(study: StudyRecord, headline: Headline, values: np.ndarray) -> str:
    """Return how many seeds miss the best possible value; "" if none of them reaches it."""
    declared = study.metric_declarations.get(headline.metric)
    if declared is None or headline.direction == "none":
        return ""
    best = declared.highest if headline.direction == "greater" else declared.lowest
    finite = values[np.isfinite(values)]
    missing = int((finite != best).sum())
    if not isfinite(best) or missing == len(finite):
        return ""
    if not missing:
        return "every seed reaches the best possible value" if len(finite) > 1 else ""
    return f"{missing} of {len(finite)} seeds {'misses' if missing == 1 else 'miss'} {best:g}"
