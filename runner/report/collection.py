"""Collect the trials of a run into the `StudyRecord` of its report. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from runner.claims.registration import Registration
from runner.metric_names import STEP_ALONE, DivergedValue, Metric
from runner.plan.plan import Plan
from runner.plan.report_spec import ReportSpec
from runner.records.step_times import StepTimes
from runner.records.store import Slot, TrialRecords
from runner.report import (
    comparable_units,
    declarations,
    records_archive,
    repeated_looks,
    study_record,
    trial_notes,
)
from runner.study import pool
from runner.study.entries import Entry
from runner.wording.output import escape_unprintable

RESULT_COLUMNS = ["arm", "seed", "metric", "value", "unit"]
KEYS_TO_CONVERT = (  # keys of study.json that are not passed to StudyRecord unchanged
    *("trials", "registrations", "looks", "format", "digests"),
    *(declarations.METRICS_KEY, declarations.AFFECTS_KEY),
)


@dataclass(frozen=True)
class TrialSnapshot:
    """A trial as it was when its report began, so that all parts of the report agree.

    `digests` are the digests of its files then: another command may recompute it during the report.
    """

    entry: Entry
    status: Mapping[str, Any]
    result: Mapping[str, Any] | None
    digests: Mapping[str, str]


def snapshot_trials(entries: Sequence[Entry]) -> list[TrialSnapshot]:
    """Read each trial once, and return their snapshots in the order of the entries."""
    readings: dict[Slot, TrialRecords] = {}
    for entry in entries:  # arms of one signature share their trials
        if entry.slot not in readings:
            readings[entry.slot] = entry.slot.read_records()
    snapshots = []
    for entry in entries:
        reading = readings[entry.slot]
        digests = reading.status["digests"] if reading.result is not None else {}
        snapshots.append(
            TrialSnapshot(entry, entry.unwritten_status or reading.status, reading.result, digests)
        )
    return snapshots


def final_values(
    snapshots: Sequence[TrialSnapshot], step_times: Mapping[Slot, StepTimes] | None = None
) -> pd.DataFrame:
    """Return the final values of trials that have a result, with the columns of results.csv.

    `step_times` are the step times of the trials that were timed alone; they become a metric.
    """
    results = [
        {"arm": trial.entry.arm.name, "seed": trial.entry.seed, **row}
        for trial in snapshots
        if trial.result is not None
        for row in [*trial.result["results"], *step_time_rows(trial, step_times or {})]
    ]
    # A frame of columns is built several times faster than one of rows.
    return pd.DataFrame({name: [row[name] for row in results] for name in RESULT_COLUMNS})


def step_time_rows(
    trial: TrialSnapshot, step_times: Mapping[Slot, StepTimes]
) -> list[dict[str, Any]]:
    """Return the row of a trial's step time; no row if it has none, or has diverged."""
    times = step_times.get(trial.entry.slot)
    if times is None or trial.status["state"] != "done":
        return []
    return [{"metric": STEP_ALONE, "value": times.median, "unit": "s"}]


def trial_table(
    snapshots: Sequence[TrialSnapshot], step_times: Mapping[Slot, StepTimes] | None = None
) -> pd.DataFrame:
    """Return a row for each trial, with the columns that `StudyRecord` lists for `trials`."""
    rows = []
    for trial in snapshots:
        entry, status, result = trial.entry, trial.status, trial.result or {}
        times = (step_times or {}).get(entry.slot)
        rows.append(
            {
                "arm": entry.arm.name,
                "seed": entry.seed,
                "status": status["state"],
                "seconds": status.get("seconds"),
                "reused": entry.reused,
                "folder": str(entry.slot.folder),
                "message": escape_unprintable(status.get("message") or ""),
                "code": result.get("code", ""),
                "versions": result.get("versions"),
                "machine": result.get("machine"),
                "passes": result.get("passes", 0) or (times.passes if times else 0),
            }
        )
    return pd.DataFrame(rows).astype({"seconds": float})


def clipped(
    results: pd.DataFrame, trials: pd.DataFrame, declared: Mapping[str, Metric]
) -> pd.DataFrame:
    """Return the substitute values of diverged trials: a row of arm, seed and metric for each."""
    replaced = {
        metric
        for metric in results["metric"].unique()
        if declared[metric].diverged in (DivergedValue.start, DivergedValue.fixed)
    }
    diverged = trials[trials["status"] == "diverged"][["arm", "seed"]]
    rows = results[results["metric"].isin(replaced) & results["value"].notna()]
    return rows.merge(diverged, on=["arm", "seed"])[study_record.CLIPPED_COLUMNS]


def untuned(summary: Mapping[str, Any], results: pd.DataFrame, known: Sequence[str]) -> list[str]:
    """Return the line "not tested" of a run without tuning.

    There is none if the experiment has its own line on tuning, among `known`.
    """
    of_training = [name for name in results.metric.unique() if name.startswith("train/")]
    trained = set(results.arm[results.metric.isin(of_training)].unique())
    rates = {summary["hparams"].get(arm, {}).get("training.lr") for arm in trained}
    if summary.get("tuned") or not trained:
        return []
    shared = len(rates) == 1
    practice = "all arms train with the same rate" if shared else "each arm has a rate of its own"
    line = "Learning rates tuned for each arm"
    return [] if any(text.startswith(line) for text in known) else [f"{line}: {practice}."]


def run_environment(plan: Plan, trials: pd.DataFrame) -> dict[str, Any]:
    """Return the plan's part of environment.json: devices, data and durations."""
    reused = trials.reused.astype(bool)
    return {
        "allocator": pool.MALLOC_SETTINGS,
        "threads": {arm.name: arm.config.device.threads for arm in plan.arms},
        "device": {arm.name: arm.device.value for arm in plan.arms},
        "data": {arm.name: arm.data for arm in plan.arms},
        "trial_seconds": {
            "all": float(trials.seconds.sum()),
            "reused": float(trials.seconds[reused].sum()),
        },
        "reused_versions": trial_notes.count_environments(trials[reused], "versions"),
        "reused_machines": trial_notes.count_environments(trials[reused], "machine"),
    }


def assemble_record(
    config_yaml: str,
    outline: ReportSpec,
    summary: Mapping[str, Any],
    environment: dict[str, Any],
    trials: pd.DataFrame,
    results: pd.DataFrame,
    curves_and_tables: records_archive.CurvesAndTables,
) -> study_record.StudyRecord:
    """Return the record of a study from its summary, final values, curves and tables."""
    texts = vars(outline) | {
        "not_tested": [*outline.not_tested, *untuned(summary, results, outline.not_tested)],
    }
    declared = declarations.metrics_of(summary, results)
    study = study_record.StudyRecord(
        **{key: value for key, value in summary.items() if key not in KEYS_TO_CONVERT},
        registrations={
            name: Registration(**known)
            for name, known in (summary.get("registrations") or {}).items()
        },
        looks=repeated_looks.RepeatedLooks(**summary["looks"]) if summary.get("looks") else None,
        **texts,
        affects=declarations.affects_of(summary),
        metric_declarations=declared,
        clipped=clipped(results, trials, declared),
        results=results,
        history=curves_and_tables.history,
        trials=trials,
        tables=curves_and_tables.tables,
        config_yaml=config_yaml,
        environment=environment,
    )
    return comparable_units.use_comparable_metrics(study)
