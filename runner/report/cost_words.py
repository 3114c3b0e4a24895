"""The cost of an arm in the words of the answer: matched costs, parameters, time a step.

Costs that arms are matched by, and parameters, are counted without embeddings.
"""

from math import isfinite, isnan

import pandas as pd

from runner.claims.fairness import format_cost_ratio
from runner.metric_names import COSTS
from runner.report import trial_notes
from runner.report.aa_differences import aa_differences
from runner.report.headlines import HeadlineComparison
from runner.report.study_record import StudyRecord

STEP_TIME = "time/step"
LEAST_TIME_CHANGE = 0.1  # smaller changes mean little, since trials run in parallel
NOISE_FACTOR = 2.0  # a time that differs by less than this many noise floors is called noisy


def cost_clause(study: StudyRecord, row: HeadlineComparison) -> str:
    """Return " at equal parameters" or " at 24.4 % more parameters"; "" without a matched cost.

    An arm without a matched cost has no clause if its parameters are equal, and an unknown cost
    has none.
    """
    by, ratio = study.fairness.cost_comparison(row.arm, row.baseline)
    if not study.fairness.is_matched(ratio):
        return f" {format_cost_ratio(by, ratio)}"
    if isnan(ratio):
        return ""
    is_matched = study.conditions.get(row.arm, {}).get("match.by", "none") != "none"
    names_parameters = by != "params" and bool(row.cost)
    return f" at equal {COSTS[by]}" if is_matched or names_parameters else ""


def cost_facts(study: StudyRecord, row: HeadlineComparison) -> list[str]:
    """Return what else an arm costs: "has 3.0 x the parameters", "takes about 1.5 x the time ...".

    A time a step is about right only: trials may run in parallel.
    """
    facts = []
    parameters = study.fairness.cost_ratio("params", row.arm, row.baseline)
    if row.cost_by != "params" and not study.fairness.is_matched(parameters):
        facts.append(f"has {format_cost_ratio('params', parameters).removeprefix('at ')}")
    time = step_time_ratio(study, row.arm, row.baseline)
    if isfinite(time) and abs(time - 1) >= LEAST_TIME_CHANGE:
        number = f"{time:.2g}" if time < 10 else f"{time:,.0f}"
        remark = " (a noisy measurement)" if is_time_noisy(study, row.arm, row.baseline) else ""
        facts.append(f"takes about {number} x the time a step{remark}")
    return facts


def is_time_noisy(study: StudyRecord, arm: str, baseline: str) -> bool:
    """Return whether the difference of two step times is below twice the noise of a pair.

    The noise is that of the A/A pair with the largest difference, as in claims about times.
    """
    mean = step_times(study)[baseline].mean()
    pairs = aa_differences(study.results, study.aa_pairs, STEP_TIME)
    noise = max((max(abs(p.interval.low), abs(p.interval.high)) for p in pairs), default=0.0)
    return mean * abs(step_time_ratio(study, arm, baseline) - 1) < NOISE_FACTOR * noise


def step_time_ratio(study: StudyRecord, arm: str, baseline: str) -> float:
    """Return the ratio of two arms' times of a training step; NaN if it is not comparable.

    It is the median ratio over the seeds of both: trials of one seed run at about the same time, so
    other work on the machine slows them alike, and a few disturbed seeds do not matter.
    """
    times = step_times(study)
    if trial_notes.machines_differ(study.trials) or not {arm, baseline} <= {*times}:
        return float("nan")
    return float((times[arm] / times[baseline]).median())


def step_times(study: StudyRecord) -> pd.DataFrame:
    """Return the seconds of a training step: a row for each seed, a column for each arm."""
    rows = study.results[study.results["metric"] == STEP_TIME]
    return rows[rows["value"] > 0].pivot_table(index="seed", columns="arm", values="value")
