"""From the trial store to the record that a report is made of. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from runner.claims.registration import Registration
from runner.metric_names import DivergedValue, Metric
from runner.plan.plan import Plan
from runner.plan.report_spec import ReportSpec
from runner.records.store import Slot, TrialRecords
from runner.report import declarations, records_archive, repeated_looks, study_record, trial_notes
from runner.study import pool
from runner.study.entries import Entry
from runner.wording.output import escape_unprintable

RESULT_COLUMNS = ["arm", "seed", "metric", "value", "unit"]
NOT_OF_THE_RECORD = (  # as they stand
    *("trials", "registrations", "looks", "format", "digests"),
    *(declarations.METRICS_KEY, declarations.AFFECTS_KEY),
)


@dataclass(frozen=True)
class TrialSnapshot:
    """A trial as it was when its report began, so that all of the report says the same of it.

    `digests` are those of its files: another command may compute the trial again meanwhile.
    """

    entry: Entry
    status: Mapping[str, Any]
    result: Mapping[str, Any] | None
    digests: Mapping[str, str]


def snapshot_trials(entries: Sequence[Entry]) -> list[TrialSnapshot]:
    """Read each trial once."""
    readings: dict[Slot, TrialRecords] = {}
    for entry in entries:  # arms of one signature share their trials
        if entry.slot not in readings:
            readings[entry.slot] = entry.slot.read_records()
    taken = []
    for entry in entries:
        reading = readings[entry.slot]
        digests = reading.status["digests"] if reading.result is not None else {}
        taken.append(
            TrialSnapshot(entry, entry.unwritten_status or reading.status, reading.result, digests)
        )
    return taken


def final_values(taken: Sequence[TrialSnapshot]) -> pd.DataFrame:
    """The final values of trials that have a result, with the columns that results.csv has."""
    results = [
        {"arm": trial.entry.arm.name, "seed": trial.entry.seed, **row}
        for trial in taken
        if trial.result is not None
        for row in trial.result["results"]
    ]
    return pd.DataFrame(results, columns=RESULT_COLUMNS)


def trial_table(taken: Sequence[TrialSnapshot]) -> pd.DataFrame:
    """A row for each trial, with the columns that `study_record.StudyRecord` names."""
    rows = []
    for trial in taken:
        entry, status, result = trial.entry, trial.status, trial.result or {}
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
                "passes": result.get("passes", 0),
            }
        )
    return pd.DataFrame(rows).astype({"seconds": float})


def clipped(
    results: pd.DataFrame, trials: pd.DataFrame, declared: Mapping[str, Metric]
) -> pd.DataFrame:
    """The final values that stand for diverged trials and were not measured: arm, seed, metric."""
    stands = {
        metric
        for metric in results["metric"].unique()
        if declared[metric].diverged in (DivergedValue.start, DivergedValue.fixed)
    }
    diverged = trials[trials["status"] == "diverged"][["arm", "seed"]]
    rows = results[results["metric"].isin(stands) & results["value"].notna()]
    return rows.merge(diverged, on=["arm", "seed"])[study_record.CLIPPED_COLUMNS]


def untuned(summary: Mapping[str, Any], results: pd.DataFrame, known: Sequence[str]) -> list[str]:
    """What a run without tuning has not tested; what the experiment itself says of it wins."""
    trained = set(results.arm[results.metric.str.startswith("train/")])
    rates = {summary["hparams"].get(arm, {}).get("training.lr") for arm in trained}
    if summary.get("tuned") or not trained:
        return []
    shared = len(rates) == 1
    how = (
        "all arms train with the same rate" if shared else "each arm trains with the rate it names"
    )
    line = "Learning rates tuned for each arm"
    return [] if any(text.startswith(line) for text in known) else [f"{line}: {how}."]


def run_environment(plan: Plan, trials: pd.DataFrame) -> dict[str, Any]:
    """What the environment is told by a plan and its trials: devices, data, durations."""
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
    kept: records_archive.CurvesAndTables,
) -> study_record.StudyRecord:
    """The record of a study from its summary, its final values, its curves and tables."""
    told = vars(outline) | {
        "not_tested": [*outline.not_tested, *untuned(summary, results, outline.not_tested)],
    }
    declared = declarations.metrics_of(summary, results["metric"])
    return study_record.StudyRecord(
        **{key: value for key, value in summary.items() if key not in NOT_OF_THE_RECORD},
        registrations={
            name: Registration(**known)
            for name, known in (summary.get("registrations") or {}).items()
        },
        looks=repeated_looks.RepeatedLooks(**summary["looks"]) if summary.get("looks") else None,
        **told,
        affects=declarations.affects_of(summary),
        metric_declarations=declared,
        clipped=clipped(results, trials, declared),
        results=results,
        history=kept.history,
        trials=trials,
        tables=kept.tables,
        config_yaml=config_yaml,
        environment=environment,
    )
