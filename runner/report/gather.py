"""From the trial store to the record that a report is made of. Imports no torch."""

import dataclasses
import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from runner import ledger, looks, pool, provenance, registry, seal, tuning
from runner.claims.registration import Registration
from runner.config import flatten
from runner.files import write_json
from runner.metric_names import Worth
from runner.plan.outline import Outline
from runner.plan.planning import Plan, stand_in
from runner.report import origins, record
from runner.stats.standing import seeds_that_could_tell
from runner.store import FINISHED, Slot, Store

if TYPE_CHECKING:
    from runner.study import Entry

RESULT_COLUMNS = ["arm", "seed", "metric", "value", "unit"]
HISTORY_COLUMNS = ["arm", "seed", "step", "metric", "value"]
NUMBERS = {"seed": int, "step": int, "value": float}
TEXTS = {"label": str}  # the name of a folder, which may look like a number or a truth value
SUMMARY, VALUES, CONFIG = "study.json", "results.csv", "config.yaml"
SEALED = (VALUES, CONFIG)  # files of a run that its study.json vouches for
NEEDED = ("experiment", "command", "arms", "baseline", "notes", "costs", "hparams", "trials")
NOT_OF_THE_RECORD = ("trials", "registrations", "looks", "format", "digests")  # as they stand


def report(
    plan: Plan,
    entries: Sequence["Entry"],
    outline: Outline,
    tuned: tuning.Tuned | None = None,
    registrations: Mapping[str, Registration] | None = None,
) -> Path | None:
    """Write the report of a plan's trials, print its summary; None where no trial has a result.

    It is another look at its arms, where it is no smoke run; so says the experiment's ledger then.
    """
    if not any(entry.slot.status()["state"] in FINISHED for entry in entries):
        return None
    if tuned is not None:
        plan.notes.extend(tuning.lines(tuned))
    folder = run_folder(plan)
    trials = trial_table(entries)
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
    write_json(folder / SUMMARY, summary)
    if tuned is not None:
        tuning.write_table(folder, tuned)
    environment = provenance.environment(plan.command, plan.started) | conditions(plan, trials)
    write(folder, assemble(plan.config_yaml, outline, summary, environment, trials))
    # Now that the values lie there: whoever edits them is found out by `redraw`.
    write_json(folder / SUMMARY, seal.sealed(summary, SUMMARY, folder, SEALED))
    if comparison is not None and not piece_of_a_sweep(plan):
        time = provenance.instant().isoformat(timespec="microseconds")
        where = looks.path(plan.outputs, plan.experiment)
        looks.note(comparison, where, time=time, scale=outline.scale)
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


def edited(folder: Path, summary: Mapping[str, Any]) -> list[str]:
    """What was changed in a run's own records since it was reported, naming the file."""
    if not seal.current(summary):
        return [f"{SUMMARY} is not sealed: the run ended while it wrote its report"]
    fault = seal.fault(summary, SUMMARY, folder, SEALED)
    return [fault] if fault else []


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


def write(folder: Path, study: record.StudyRecord) -> None:
    """Write the report of a record into a run's folder and print its summary."""
    from rich.console import Console

    from runner.report.console import console
    from runner.report.report import write_report

    outcome = write_report(folder, study)
    Console().print(console(study, outcome), crop=False)


def assemble(
    config_yaml: str,
    outline: Outline,
    summary: Mapping[str, Any],
    environment: dict[str, Any],
    trials: pd.DataFrame,
    results: pd.DataFrame | None = None,
    readable: pd.DataFrame | None = None,
) -> record.StudyRecord:
    """The record of a study from its summary and what its trials' folders hold.

    With `results` these are the final values. `readable` are the trials whose folders still hold
    what belongs to the study; all, if not given.
    """
    found, history, tables = contents(trials if readable is None else readable)
    results = found if results is None else results
    told = vars(outline) | {
        "not_tested": [*outline.not_tested, *untuned(summary, results, outline.not_tested)]
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
        history=history,
        trials=trials,
        tables=tables,
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


def trial_table(entries: Sequence["Entry"]) -> pd.DataFrame:
    """A row for each trial, with the columns that `record.StudyRecord` names."""
    rows = []
    for entry in entries:
        status, result = entry.slot.status(), entry.slot.result() or {}
        rows.append(
            {
                "arm": entry.arm.name,
                "seed": entry.seed,
                "status": status["state"],
                "seconds": status.get("seconds"),
                "reused": entry.reused,
                "folder": str(entry.slot.folder),
                "message": status.get("message", ""),
                "code": result.get("code", ""),
                "digest": origins.digest(entry.slot),
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


def contents(
    trials: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, pd.DataFrame]]:
    """Results, history and tables of trials, with the columns that `record.StudyRecord` names."""
    results: list[dict[str, object]] = []
    history: list[pd.DataFrame] = []
    tables: dict[str, list[pd.DataFrame]] = {}
    for arm, seed, folder in zip(trials.arm, trials.seed, map(Path, trials.folder), strict=True):
        result = Slot(folder).result()
        if result is None:
            continue
        results += [{"arm": arm, "seed": seed, **row} for row in result["results"]]
        curves = folder / "metrics.csv"
        if curves.exists():
            history.append(pd.read_csv(curves).assign(arm=arm, seed=seed))
        for path in sorted((folder / "tables").glob("*.csv")):
            table = pd.read_csv(path, keep_default_na=False, dtype=TEXTS)
            table.insert(0, "arm", arm)
            table.insert(1, "seed", seed)
            tables.setdefault(path.stem, []).append(table)
    curves_of_all = (
        pd.concat(history, ignore_index=True)
        if history
        else pd.DataFrame(columns=HISTORY_COLUMNS).astype(NUMBERS)
    )
    return (
        pd.DataFrame(results, columns=RESULT_COLUMNS),
        curves_of_all[HISTORY_COLUMNS],
        {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()},
    )


def run_folder(plan: Plan) -> Path:
    """A new folder for one invocation; it never overwrites another."""
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    folder = plan.outputs / plan.experiment / "runs" / f"{now}-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=False)
    return folder
