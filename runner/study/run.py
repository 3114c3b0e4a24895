"""Compute the missing trials of a plan in processes. No torch."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runner import registry
from runner.plan.plan import Plan, count_workers
from runner.records.job import Job, Stage
from runner.records.store import Slot
from runner.study import pool
from runner.study.entries import Entry, make_job, prepare_trials
from runner.study.outcomes import TrialEventHandler
from runner.study.progress import Progress
from runner.study.timing_passes import (
    describe_timing_noise,
    further_pass_jobs,
    shuffle_within_seeds,
)
from runner.wording.output import escape_unprintable


def run_trials(plan: Plan, title: str = "") -> list[Entry]:
    """Compute the missing trials of a plan; returns all. Failures are in their status."""
    entries = prepare_trials(plan)
    plan.notes[:] = map(escape_unprintable, plan.notes)  # names of files may hold anything
    for note in plan.notes:
        print(f"note: {note}", flush=True)  # noqa: T201
    trials = {entry.slot.folder: entry for entry in reversed(entries)}
    missing = {e.slot.folder: trials[e.slot.folder] for e in entries if not e.reused}
    unwritten: dict[Slot, Mapping[str, Any]] = {}
    with Progress(
        title or plan.experiment, total=len(trials), reused=len(trials) - len(missing)
    ) as progress:
        if missing:
            unwritten = compute_missing_trials(
                plan,
                list(missing.values()),
                list(trials.values()),
                count_workers(plan.study, len(missing)),
                progress,
            )
        elif noisy := describe_timing_noise(plan, entries):
            plan.notes.append(f"{noisy}: this run reuses all trials and times none again")
    return [replace(entry, unwritten_status=unwritten.get(entry.slot)) for entry in entries]


def compute_missing_trials(
    plan: Plan,
    entries: Sequence[Entry],
    everything: Sequence[Entry],
    workers: int,
    progress: Progress,
) -> dict[Slot, Mapping[str, Any]]:
    """Compute trials in processes, keep their status truthful, show how far they are.

    `entries` are those to compute among `everything` that the plan has. Returns the statuses that
    could not be written.

    What is timed comes second and alone: trial by trial, the arms of a seed in random order, so
    that a slow moment of the machine hits no arm more than another. On a noisy machine all of it is
    timed in further passes.
    """
    ends = TrialEventHandler(progress)
    try:
        for jobs in batches(plan, entries, everything, progress.note):
            pool.run_jobs(jobs, workers if jobs[0].stage is Stage.run else 1, ends.handle)
    except KeyboardInterrupt:
        ends.mark_interrupted()
        pool.end_server()
        raise
    return ends.unwritten_statuses


def batches(
    plan: Plan,
    entries: Sequence[Entry],
    everything: Sequence[Entry],
    note: Callable[[str], None],
) -> Iterator[list[Job]]:
    """The jobs of each stage and pass, one behind the other, as what came before has left them."""
    began, jobs = time.monotonic(), list[Job]()
    for stage in Stage if registry.has_timing_stage(plan.experiment) else [Stage.run]:
        began = time.monotonic()
        if jobs := [make_job(plan, entry, stage) for entry in due(entries, stage)]:
            yield jobs
    each = (time.monotonic() - began) / max(1, len(jobs))
    yield from further_pass_jobs(plan, entries, everything, note, each)


def due(entries: Sequence[Entry], stage: Stage) -> list[Entry]:
    """The trials whose stage is to be computed now; a second stage needs the first to be done."""
    if stage is Stage.run:
        return [entry for entry in entries if entry.slot.read_first_stage(entry.arm.code) is None]
    ready = [entry for entry in entries if entry.slot.read_first_stage(entry.arm.code) is not None]
    return shuffle_within_seeds(ready)
