"""Compute the missing trials of a plan in processes. No torch."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runner import registry
from runner.plan.plan import Plan, count_workers
from runner.records.job import Job, Stage
from runner.records.store import Slot, Store
from runner.study import pool
from runner.study.entries import Entry, make_job, owns_folder, prepare_trials
from runner.study.opening import describe_load, describe_study, describe_work
from runner.study.outcomes import TrialEventHandler
from runner.study.progress import Progress
from runner.study.time_left import estimate_time_left
from runner.study.timing_passes import (
    describe_timing_noise,
    further_pass_jobs,
    shuffle_within_seeds,
)
from runner.wording.output import escape_unprintable


def run_trials(plan: Plan, title: str = "") -> list[Entry]:
    """Compute the missing trials of a plan; return all its trials.

    A trial that fails raises nothing: its status says why it failed. `title` names a part of the
    study, e.g. the tuning.

    Raises:
        ConfigError: trials are missing, and the store cannot be written.
        KeyboardInterrupt: the command was interrupted; all processes have ended.
    """
    entries = prepare_trials(plan)
    plan.notes[:] = map(escape_unprintable, plan.notes)  # file names may contain control characters
    entry_by_folder = {entry.slot.folder: entry for entry in reversed(entries)}
    missing = {e.slot.folder: entry_by_folder[e.slot.folder] for e in entries if not e.reused}
    unwritten: dict[Slot, Mapping[str, Any]] = {}
    n_trials, workers = (
        len(entry_by_folder),
        count_workers(plan.study, max(1, len(missing)), plan.arms),
    )
    time_left = estimate_time_left(plan, list(missing.values()), workers) if missing else None
    study_name = describe_study(plan, title)
    # After a tuning the trials of this command are part of the load.
    is_first = bool(title) or plan.study.tune.key is None
    load = describe_load() if missing and is_first else ""
    opening = (
        *(f"note: {note}" for note in plan.notes),
        f"{study_name}: {describe_work(plan, n_trials, len(missing), time_left)}",
        *([load] if load else []),
    )
    with Progress(
        study_name,
        total=n_trials,
        reused=n_trials - len(missing),
        time_left=time_left,
        opening=opening,
    ) as progress:
        if missing:
            unwritten = compute_missing_trials(
                plan,
                list(missing.values()),
                list(entry_by_folder.values()),
                workers,
                progress,
            )
        elif registry.has_timing_stage(plan.page) and (
            noisy := describe_timing_noise(plan, entries)
        ):
            plan.notes.append(f"{noisy}: this run reuses all trials and times none again")
    ended = [replace(entry, unwritten_status=unwritten.get(entry.slot)) for entry in entries]
    return leave_foreign_folders(plan, ended)


def leave_foreign_folders(plan: Plan, entries: Sequence[Entry]) -> list[Entry]:
    """Return the trials with new, empty slots where another arm has their arm's folder.

    This happens only if the disk was full and had no locks when the trials were listed.
    """
    foreign = {entry.slot.arm_folder for entry in entries if not owns_folder(entry)}
    if not foreign:
        return list(entries)
    store = Store(plan.outputs, plan.experiment)
    return [
        replace(entry, slot=store.slot(entry.arm.name, entry.arm.signature, entry.seed))
        if entry.slot.arm_folder in foreign
        else entry
        for entry in entries
    ]


def compute_missing_trials(
    plan: Plan,
    entries: Sequence[Entry],
    all_entries: Sequence[Entry],
    workers: int,
    progress: Progress,
) -> dict[Slot, Mapping[str, Any]]:
    """Compute trials in processes, write their final status, and show their progress.

    The timing stage comes second. Trials are timed one at a time, the arms of a seed in random
    order. So a slow moment of the machine affects all arms with equal probability. If the times are
    too noisy, further passes time the trials again.

    Args:
        plan: the plan of the trials.
        entries: the trials to compute.
        all_entries: all trials of the plan.
        workers: the number of trials that run at a time, timings excepted.
        progress: the display.

    Returns:
        The statuses that could not be written to the store.
    """
    handler = TrialEventHandler(progress)
    try:
        for jobs in jobs_by_stage_and_pass(plan, entries, all_entries, progress.note):
            pool.run_jobs(jobs, workers if jobs[0].stage is Stage.run else 1, handler.handle)
    except KeyboardInterrupt:
        handler.mark_interrupted()
        pool.end_server()
        raise
    return handler.unwritten_statuses


def jobs_by_stage_and_pass(
    plan: Plan,
    entries: Sequence[Entry],
    all_entries: Sequence[Entry],
    note: Callable[[str], None],
) -> Iterator[list[Job]]:
    """Yield the jobs of each stage and pass in turn, computed when the previous ones have ended."""
    began, jobs = time.monotonic(), list[Job]()
    for stage in Stage if registry.has_timing_stage(plan.page) else [Stage.run]:
        began = time.monotonic()
        if jobs := [make_job(plan, entry, stage) for entry in entries_due(entries, stage)]:
            yield jobs
    seconds_per_trial = (time.monotonic() - began) / max(1, len(jobs))
    yield from further_pass_jobs(plan, entries, all_entries, note, seconds_per_trial)


def entries_due(entries: Sequence[Entry], stage: Stage) -> list[Entry]:
    """Return the trials whose stage is due now; a timing stage needs a finished first stage."""
    if stage is Stage.run:
        return [entry for entry in entries if entry.slot.read_first_stage(entry.arm.code) is None]
    ready = [entry for entry in entries if entry.slot.read_first_stage(entry.arm.code) is not None]
    return shuffle_within_seeds(ready)
