"""Time training steps alone on the machine, for the arms of claims that need it. No torch.

It follows the training: one trial at a time, the arms of a seed in random order. Further passes
follow while the times are too noisy, within the limits of `timing` (`runner.study.timing_passes`).
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.config import Scale
from runner.plan.plan import Plan
from runner.plan.report_spec import read_report_spec
from runner.plan.timed_arms import find_timed_arms
from runner.records import provenance
from runner.records.job import Job, Stage
from runner.records.step_times import (
    QUANTITY,
    StepTimes,
    StepTimingJob,
    read_step_times,
)
from runner.records.store import Slot
from runner.study import pool
from runner.study.entries import Entry, make_job
from runner.study.progress import Progress
from runner.study.timing_passes import shuffle_within_seeds, timing_noise
from runner.wording.names import format_count

N_STEPS, N_WARMUP = 30, 5  # timed steps of a trial in one pass, and steps before them
SMOKE_STEPS, SMOKE_WARMUP = 3, 1


def read_all_step_times(plan: Plan, entries: Sequence[Entry]) -> dict[Slot, StepTimes]:
    """Return the step times of the trials whose arms are timed; {} if no claim needs them."""
    arms = find_timed_arms(read_report_spec(plan.study), plan.arms)
    if not arms:
        return {}
    machine = provenance.machine()
    return {
        entry.slot: times
        for entry in entries
        if entry.arm.name in arms
        and (times := read_step_times(entry.slot, entry.arm.code, machine)) is not None
    }


def time_steps_alone(plan: Plan, entries: Sequence[Entry]) -> None:
    """Time the training steps of the trials that claims need; add notes on noise to the plan.

    A trial that was timed before by this machine is not timed again. A trial that cannot be timed
    adds a note; the claims that need its time are then invalid.

    Raises:
        KeyboardInterrupt: the command was interrupted; all processes have ended.
    """
    arms = find_timed_arms(read_report_spec(plan.study), plan.arms)
    finished = {
        entry.slot: entry
        for entry in reversed(entries)
        if entry.arm.name in arms and entry.status()["state"] == "done"
    }
    if not finished:
        return
    known = read_all_step_times(plan, entries)
    due = [entry for slot, entry in finished.items() if slot not in known]
    spent, passes = 0.0, 0
    while due:
        began = time.monotonic()
        failures = run_pass(plan, due, passes)
        seconds, passes = time.monotonic() - began, passes + 1
        plan.notes.extend(failures.values())
        spent += seconds if passes > 1 else 0.0
        due = [entry for entry in due if entry.slot not in failures]
        noise = describe_step_noise(plan, entries)
        limit = plan.study.timing
        if not noise or plan.study.scale is Scale.smoke:
            return
        if passes >= limit.passes or spent + seconds > 60 * limit.minutes:
            name = "passes" if passes >= limit.passes else "minutes"
            plan.notes.append(
                f"{noise}: timing.{name}={getattr(limit, name):g} allows no further pass"
            )
            return


def run_pass(plan: Plan, entries: Sequence[Entry], passes: int) -> dict[Slot, str]:
    """Time the steps of these trials once; return a line for each trial that could not be timed."""
    machine, is_smoke = provenance.machine(), plan.study.scale is Scale.smoke
    jobs = []
    for entry in shuffle_within_seeds(entries, passes):
        job = make_job(plan, entry, Stage.timing)
        earlier = read_step_times(entry.slot, entry.arm.code, machine)
        fields: dict[str, Any] = {f.name: getattr(job, f.name) for f in dataclasses.fields(Job)}
        fields["passes"] = earlier.passes if earlier else 0
        n_steps, n_warmup = (SMOKE_STEPS, SMOKE_WARMUP) if is_smoke else (N_STEPS, N_WARMUP)
        jobs.append(StepTimingJob(**fields, n_steps=n_steps, n_warmup=n_warmup))
    title = f"{plan.experiment}, step times"
    again = "" if not passes else " again"
    opening = f"{title}: {format_count(len(jobs), 'trial')} timed{again}, one at a time"
    with Progress(title, total=len(jobs), reused=0, opening=(opening,)) as progress:
        handler = StepTimingHandler(progress)
        try:
            pool.run_jobs(jobs, 1, handler.handle)
        except KeyboardInterrupt:
            pool.end_server()
            raise
    return handler.failures


@dataclass
class StepTimingHandler:
    """A handler of the events of step timings: it updates the display and collects failures."""

    progress: Progress
    failures: dict[Slot, str] = field(default_factory=dict)
    _errors: dict[Slot, str] = field(default_factory=dict)
    _began: dict[Slot, float] = field(default_factory=dict)

    def handle(self, job: Job, event: Mapping[str, Any]) -> None:
        """Handle one event of `runner.study.pool.run_jobs`."""
        name, state = f"{job.arm} seed {job.seed}", event.get("state")
        if state == "started":
            self.progress.start(name, job.stage)
        elif state == "waiting":
            self.progress.show_waiting(name, event["why"])
        elif state == "computing":
            self._began[job.slot] = time.monotonic()
            self.progress.compute(name)
        elif state == "failed":
            self._errors[job.slot] = event["message"]
        elif state == "ended":
            error = self._errors.pop(job.slot, "") or event.get("why", "")
            if not error and event["exitcode"]:
                error = f"its process ended with exit code {event['exitcode']}"
            if error:
                self.failures[job.slot] = f"{name}: its steps could not be timed: {error}"
            began = self._began.pop(job.slot, None)
            seconds = None if began is None else time.monotonic() - began
            self.progress.end(name, "failed" if error else "timed", seconds, error)
        elif "note" in event:
            self.progress.note(event["note"])


def describe_step_noise(plan: Plan, entries: Sequence[Entry]) -> str:
    """Return a sentence on the noise of step times; "" if it is within `timing.steady`."""
    known = read_all_step_times(plan, entries)
    trials = [
        (entry.arm.name, {QUANTITY: known[entry.slot].samples})
        for entry in entries
        if entry.slot in known
    ]
    error, _ = timing_noise(trials)
    if error <= plan.study.timing.steady:
        return ""
    return (
        f"the standard error of an arm's mean step time is {error:.1%} of it, above "
        f"{plan.study.timing.steady:.1%}"
    )
