"""Report a study: collect its records, write all files of the run, print the summary."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from runner import registry
from runner.claims.registration import Registration
from runner.config import flatten
from runner.plan.outline import Outline
from runner.plan.plan import Plan, stand_in
from runner.records import provenance, seal
from runner.records.files import write_json, write_whole
from runner.report import declarations, looks, record, records
from runner.report import tuned as tuned_lines
from runner.report.collect import assemble, conditions, take, trial_table, values
from runner.report.console import console
from runner.report.run_folder import SEALED, SUMMARY, run_folder
from runner.report.write import write_records, write_report
from runner.study.entries import Entry
from runner.study.tuning import Tuned


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
    results = values(taken)
    comparison = looks.comparison_of(plan, outline)
    look = looks.looks_of(plan, outline)
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
        **declarations.to_record(plan.experiment, results["metric"]),
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
    study = assemble(plan.config_yaml, outline, summary, environment, trials, results, kept)
    write_records(folder, study)
    write_json(folder / SUMMARY, seal.sealed(summary, SUMMARY, folder, SEALED))
    kept = records.unpacked(content, zip(trials.arm, trials.seed, strict=True))
    plan.notes.extend(kept.faults)
    write(folder, dataclasses.replace(study, history=kept.history, tables=kept.tables))
    if comparison is not None and not looks.piece_of_a_sweep(plan):
        now = provenance.instant().isoformat(timespec="microseconds")
        where = looks.path(plan.outputs, plan.experiment)
        if line := looks.note(comparison, where, time=now, scale=outline.scale):
            print(f"note: {line}")  # noqa: T201
    return folder


def write(folder: Path, study: record.StudyRecord, *, redrawn: bool = False) -> None:
    """Write the report of a record into a run's folder and print its summary."""
    outcome = write_report(folder, study, redrawn=redrawn)
    Console().print(console(study, outcome), crop=False)
