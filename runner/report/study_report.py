"""Report a study: collect its records, write the files of the run folder, print the summary."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from runner import registry
from runner.claims.registration import Registration
from runner.config import flatten
from runner.plan.plan import Plan, effective_baseline
from runner.plan.report_spec import ReportSpec
from runner.records import provenance, seal
from runner.records.files import write_atomically, write_json
from runner.report import (
    declarations,
    index_page,
    latest_run,
    records_archive,
    repeated_looks,
    study_record,
    tuning_results,
)
from runner.report.collection import (
    assemble_record,
    final_values,
    run_environment,
    snapshot_trials,
    trial_table,
)
from runner.report.console import render_console
from runner.report.report_files import write_records, write_report
from runner.report.run_folder import SUMMARY_FILE, VERIFIED_FILES, create_run_folder
from runner.study.entries import Entry
from runner.study.step_timing import read_all_step_times
from runner.study.tuning import TuningResult


def report_study(
    plan: Plan,
    entries: Sequence[Entry],
    outline: ReportSpec,
    tuned: TuningResult | None = None,
    registrations: Mapping[str, Registration] | None = None,
) -> Path | None:
    """Write the report of a plan's trials and print its summary.

    The run's own records are written first, with their digests. If the report then fails, `redraw`
    can write it from them. Except for a smoke run, the report is appended to the ledger of looks.

    Returns:
        The run folder; None if no trial has a result.
    """
    snapshots = snapshot_trials(entries)
    if all(trial.result is None for trial in snapshots):
        return None
    if tuned is not None:
        plan.notes.extend(tuning_results.tuning_notes(tuned))
    folder = create_run_folder(plan)
    step_times = read_all_step_times(plan, entries)
    trials = trial_table(snapshots, step_times)
    results = final_values(snapshots, step_times)
    comparison = repeated_looks.comparison_of_plan(plan, outline)
    looks = repeated_looks.load_looks(plan, outline)
    summary: dict[str, Any] = {
        "experiment": plan.experiment,
        "command": plan.command,
        "plugins": list(map(dict, plan.plugins)),
        "arms": {arm.name: list(arm.overrides) for arm in plan.arms},
        "baseline": effective_baseline(plan.arms, plan.study),
        "notes": plan.notes,
        "setting_notes": list(plan.setting_notes),
        "costs": {arm.name: registry.costs(vars(arm.config.parts)) for arm in plan.arms},
        "controls": plan.study.controls,
        "typed": list(plan.typed_settings),
        "conditions": {arm.name: arm.conditions for arm in plan.arms},
        "preset_tolerance": plan.preset_tolerance,
        "tolerances": {arm.name: arm.config.match.tolerance for arm in plan.arms},
        "interior": dict(tuned.interior) if tuned else {},
        "tuned": dict(tuned.overrides) if tuned else {},
        "hparams": {arm.name: flatten(arm.config.signature_tree()) for arm in plan.arms},
        "registrations": {
            name: dataclasses.asdict(one) for name, one in (registrations or {}).items()
        },
        "looks": dataclasses.asdict(looks) if looks else None,
        **declarations.to_record(plan.page, results),
        "trials": trials.assign(
            folder=[os.path.relpath(path, folder) for path in trials.folder]
        ).to_dict("records"),
    }
    if tuned is not None:
        tuning_results.write_tuning_table(folder, tuned)
    environment = provenance.environment(plan.command, plan.started) | run_environment(plan, trials)
    content, faults = records_archive.pack_trials(
        (one.entry.arm.name, one.entry.seed, one.entry.slot, one.digests) for one in snapshots
    )
    plan.notes.extend(faults)
    if reason := records_archive.too_large_reason(content, len(trials)):
        plan.notes.append(f"redraw will leave out curves and tables: {reason}")
    # Write everything that `redraw` needs before parsing, which takes memory and can be killed.
    write_atomically(folder / records_archive.FILE, content)
    empty = records_archive.CurvesAndTables(records_archive.empty_history(), {})
    study = assemble_record(plan.config_yaml, outline, summary, environment, trials, results, empty)
    write_records(folder, study)
    write_json(
        folder / SUMMARY_FILE, seal.seal_record(summary, SUMMARY_FILE, folder, VERIFIED_FILES)
    )
    unpacked = records_archive.unpack_trials(content, zip(trials.arm, trials.seed, strict=True))
    plan.notes.extend(unpacked.faults)
    study = dataclasses.replace(study, history=unpacked.history, tables=unpacked.tables)
    write_and_print(folder, study, has_records=True)
    for line in (latest_run.renew_latest(folder), index_page.renew_index(plan.outputs)):
        if line:
            print(f"note: {line}")  # noqa: T201
    if comparison is not None and not repeated_looks.is_single_seed_of_sweep(plan):
        now = provenance.current_time().isoformat(timespec="microseconds")
        path = repeated_looks.looks_path(plan.outputs, plan.experiment)
        if line := repeated_looks.append_look(comparison, path, time=now, scale=outline.scale):
            print(f"note: {line}")  # noqa: T201
    return folder


def write_and_print(
    folder: Path,
    study: study_record.StudyRecord,
    *,
    is_redraw: bool = False,
    has_records: bool = False,
) -> None:
    """Write the report of a study into a run folder and print its summary."""
    outcome = write_report(folder, study, is_redraw=is_redraw, has_records=has_records)
    Console().print(render_console(study, outcome), crop=False)
