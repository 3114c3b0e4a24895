"""From the trial store to the record that a report is made of. Imports no torch."""

import contextlib
import dataclasses
import datetime
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from runner import registry
from runner.claims.registration import Registration
from runner.config import ConfigError, flatten
from runner.metric_names import Worth
from runner.plan.outline import Outline
from runner.plan.plan import Plan, stand_in
from runner.records import ledger, provenance, seal
from runner.records.files import names, remove, write_json, write_whole
from runner.records.store import Reading, Slot, Store
from runner.report import looks, origins, record, records
from runner.report import tuned as tuned_lines
from runner.stats.standing import seeds_that_could_tell
from runner.study import pool
from runner.study.entries import Entry
from runner.study.tuning import Tuned
from runner.wording.output import printable

RESULT_COLUMNS = ["arm", "seed", "metric", "value", "unit"]
SUMMARY, VALUES, CONFIG, ENVIRONMENT = (
    "study.json",
    "results.csv",
    "config.yaml",
    "environment.json",
)
SEALED = (VALUES, CONFIG, ENVIRONMENT, records.FILE)  # files that a run's study.json vouches for
ABANDONED = 24 * 3600  # seconds after which no report still writes into its draft
TIME = "%Y-%m-%d_%H-%M-%S-%f"  # of the name of a run's folder
NOT_OF_THE_RECORD = ("trials", "registrations", "looks", "format", "digests")  # as they stand


@dataclass(frozen=True)
class Taken:
    """A trial as it was when its report began, so that all of the report says the same of it.

    `digests` are those of its files: another command may compute the trial again meanwhile.
    """

    entry: Entry
    status: Mapping[str, Any]
    result: Mapping[str, Any] | None
    digests: Mapping[str, str]


def take(entries: Sequence[Entry]) -> list[Taken]:
    """Read each trial once."""
    readings: dict[Slot, Reading] = {}
    for entry in entries:  # arms of one signature share their trials
        if entry.slot not in readings:
            readings[entry.slot] = entry.slot.read()
    taken = []
    for entry in entries:
        reading = readings[entry.slot]
        digests = reading.status["digests"] if reading.result is not None else {}
        taken.append(Taken(entry, entry.ended or reading.status, reading.result, digests))
    return taken


def report(
    plan: Plan,
    entries: Sequence[Entry],
    outline: Outline,
    tuned: Tuned | None = None,
    registrations: Mapping[str, Registration] | None = None,
) -> Path | None:
    """Write the report of a plan's trials, print its summary; None where no trial has a result.

    The run's own records come first, sealed: whatever happens to the report, `redraw` writes it.
    It is another look at its arms, where it is no smoke run; so says the experiment's ledger then.
    """
    taken = take(entries)
    if all(trial.result is None for trial in taken):
        return None
    if tuned is not None:
        plan.notes.extend(tuned_lines.lines(tuned))
    folder = run_folder(plan)
    trials = trial_table(taken)
    comparison = compared(plan, outline)
    look = looks_of(plan, outline)
    summary: dict[str, Any] = {
        "experiment": plan.experiment,
        "command": plan.command,
        "arms": {arm.name: list(arm.overrides) for arm in plan.arms},
        "baseline": stand_in(plan.arms, plan.study),
        "notes": plan.notes,
        "costs": {arm.name: registry.costs(vars(arm.config.parts)) for arm in plan.arms},
        "controls": plan.study.controls,
        "typed": list(plan.typed),
        "conditions": {arm.name: arm.conditions for arm in plan.arms},
        "preset_tolerance": plan.tolerance,
        "tolerances": {arm.name: arm.config.match.tolerance for arm in plan.arms},
        "interior": dict(tuned.interior) if tuned else {},
        "tuned": dict(tuned.overrides) if tuned else {},
        "hparams": {arm.name: flatten(arm.config.tree()) for arm in plan.arms},
        "registrations": {
            name: dataclasses.asdict(known) for name, known in (registrations or {}).items()
        },
        "looks": dataclasses.asdict(look) if look else None,
        "trials": trials.assign(
            folder=[os.path.relpath(path, folder) for path in trials.folder]
        ).to_dict("records"),
    }
    if tuned is not None:
        tuned_lines.write_table(folder, tuned)
    environment = provenance.environment(plan.command, plan.started) | conditions(plan, trials)
    content, lost = records.packed(
        (one.entry.arm.name, one.entry.seed, one.entry.slot, one.digests) for one in taken
    )
    plan.notes.extend(lost)
    if why := records.excess(content, len(trials)):
        plan.notes.append(f"redraw will leave out curves and tables: {why}")
    # All that `redraw` needs lies there before anything is parsed, which takes memory.
    write_whole(folder / records.FILE, content)
    kept = records.Kept(records.no_history(), {})
    study = assemble(plan.config_yaml, outline, summary, environment, trials, values(taken), kept)
    write_records(folder, study)
    write_json(folder / SUMMARY, seal.sealed(summary, SUMMARY, folder, SEALED))
    kept = records.unpacked(content, zip(trials.arm, trials.seed, strict=True))
    plan.notes.extend(kept.faults)
    write(folder, dataclasses.replace(study, history=kept.history, tables=kept.tables))
    if comparison is not None and not piece_of_a_sweep(plan):
        now = provenance.instant().isoformat(timespec="microseconds")
        where = looks.path(plan.outputs, plan.experiment)
        if line := looks.note(comparison, where, time=now, scale=outline.scale):
            print(f"note: {line}")  # noqa: T201
    return folder


def compared(plan: Plan, outline: Outline) -> looks.Compared | None:
    """What a report compares with what; None for a smoke run, which shows nothing."""
    if outline.scale == "smoke":
        return None
    own = [headline.baseline for headline in outline.headline if headline.baseline]
    return looks.compared(plan.arms, [stand_in(plan.arms, plan.study), *own], plan.seeds)


def looks_of(plan: Plan, outline: Outline) -> looks.Looks | None:
    """The looks at the arms of a plan, this run included; None for a smoke run."""
    comparison = compared(plan, outline)
    if comparison is None:
        return None
    written = ledger.read(looks.path(plan.outputs, plan.experiment))
    return looks.looks(comparison, written, left_out(plan))


def looks_ahead(plan: Plan, outline: Outline) -> list[str]:
    """Lines before a run: the ledger is damaged, or too few seeds to tell anything by now."""
    look = looks_of(plan, outline)
    if look is None:
        return []
    fault = ledger.fault(looks.path(plan.outputs, plan.experiment))
    lines = [fault] if fault else []
    enough = seeds_that_could_tell(look.number)
    if look.number < 2 or len(plan.seeds) >= enough:
        return lines
    return [
        *lines,
        f"this is the {look.words}: with {len(plan.seeds)} seeds no arm can be called better or "
        f"worse any more; that takes {enough} (n_seeds={enough})",
    ]


def left_out(plan: Plan) -> list[int]:
    """Seeds that were computed for the arms of a plan, and are not in it."""
    marks = [arm.signature for arm in plan.arms]
    return looks.computed_beside(Store(plan.outputs, plan.experiment), marks, plan.seeds)


def piece_of_a_sweep(plan: Plan) -> bool:
    """Whether this run computes one seed of a sweep: a share of the work, and nothing to look at.

    `-m seed=0,1,2,3 n_seeds=1` fills the store from many machines; a run over all seeds reports.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    known = HydraConfig.initialized()
    return len(plan.seeds) == 1 and known and HydraConfig.get().mode is RunMode.MULTIRUN


def conditions(plan: Plan, trials: pd.DataFrame) -> dict[str, Any]:
    """What the environment is told by a plan and its trials: devices, data, durations."""
    reused = trials.reused.astype(bool)
    return {
        "allocator": pool.MALLOC,
        "threads": {arm.name: arm.config.device.threads for arm in plan.arms},
        "device": {arm.name: arm.device.value for arm in plan.arms},
        "data": {arm.name: arm.data for arm in plan.arms},
        "trial_seconds": {
            "all": float(trials.seconds.sum()),
            "reused": float(trials.seconds[reused].sum()),
        },
        "reused_versions": origins.distinct(trials[reused], "versions"),
        "reused_machines": origins.distinct(trials[reused], "machine"),
    }


def write(folder: Path, study: record.StudyRecord, *, redrawn: bool = False) -> None:
    """Write the report of a record into a run's folder and print its summary."""
    from rich.console import Console

    from runner.report.console import console
    from runner.report.report import write_report

    outcome = write_report(folder, study, redrawn=redrawn)
    Console().print(console(study, outcome), crop=False)


def write_records(folder: Path, study: record.StudyRecord) -> None:
    """Write what a run's report is made from, beside its archive and its summary."""
    from runner.report.report import write_records

    write_records(folder, study)


def assemble(
    config_yaml: str,
    outline: Outline,
    summary: Mapping[str, Any],
    environment: dict[str, Any],
    trials: pd.DataFrame,
    results: pd.DataFrame,
    kept: records.Kept,
) -> record.StudyRecord:
    """The record of a study from its summary, its final values, its curves and tables."""
    told = vars(outline) | {
        "not_tested": [*outline.not_tested, *untuned(summary, results, outline.not_tested)],
    }
    return record.StudyRecord(
        **{key: value for key, value in summary.items() if key not in NOT_OF_THE_RECORD},
        registrations={
            name: Registration(**known)
            for name, known in (summary.get("registrations") or {}).items()
        },
        looks=looks.Looks(**summary["looks"]) if summary.get("looks") else None,
        **told,
        affects=registry.affects(str(summary["experiment"])),
        clipped=clipped(results, trials),
        results=results,
        history=kept.history,
        trials=trials,
        tables=kept.tables,
        config_yaml=config_yaml,
        environment=environment,
    )


def clipped(results: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The final values that stand for diverged trials and were not measured: arm, seed, metric."""
    stands = {
        metric
        for metric in results["metric"].unique()
        if registry.metric(metric).diverged in (Worth.start, Worth.fixed)
    }
    diverged = trials[trials["status"] == "diverged"][["arm", "seed"]]
    rows = results[results["metric"].isin(stands) & results["value"].notna()]
    return rows.merge(diverged, on=["arm", "seed"])[record.CLIPPED]


def trial_table(taken: Sequence[Taken]) -> pd.DataFrame:
    """A row for each trial, with the columns that `record.StudyRecord` names."""
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
                "message": printable(status.get("message") or ""),
                "code": result.get("code", ""),
                "versions": result.get("versions"),
                "machine": result.get("machine"),
                "passes": result.get("passes", 0),
            }
        )
    return pd.DataFrame(rows).astype({"seconds": float})


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


def values(taken: Sequence[Taken]) -> pd.DataFrame:
    """The final values of trials that have a result, with the columns that results.csv has."""
    results = [
        {"arm": trial.entry.arm.name, "seed": trial.entry.seed, **row}
        for trial in taken
        if trial.result is not None
        for row in trial.result["results"]
    ]
    return pd.DataFrame(results, columns=RESULT_COLUMNS)


def run_folder(plan: Plan) -> Path:
    """A new folder for one invocation; it never overwrites another.

    Its name is the time, and stands behind those of earlier runs also where the clock was set back.
    """
    runs = plan.outputs / plan.experiment / "runs"
    remove_drafts(runs)
    now = max([datetime.datetime.now(), *map(after, names(runs))])
    folder = runs / f"{now.strftime(TIME)}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=False)
    except OSError as error:
        raise ConfigError(
            f"outputs={plan.outputs}: no report can be written to {runs} "
            f"({error.strerror or error}); give another folder"
        ) from error
    return folder


def remove_drafts(runs: Path) -> None:
    """Remove what reports that were killed had begun to write; no report takes so long."""
    for draft in [*runs.glob("*/.writing-*"), *runs.glob("*/tb/.writing-*")]:
        with contextlib.suppress(OSError):
            through_link = draft.parent.resolve() != runs.resolve() / draft.parent.relative_to(runs)
            if not through_link and time.time() - draft.lstat().st_mtime > ABANDONED:
                remove(draft)


def after(name: str) -> datetime.datetime:
    """The moment after that of a run's name; one long ago for any other name."""
    try:
        moment = datetime.datetime.strptime(name.rpartition("-")[0], TIME)
        return moment + datetime.timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return datetime.datetime.min
