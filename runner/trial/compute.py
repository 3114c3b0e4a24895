"""Compute one stage of a trial in this process: its locks, its status, its result."""

import contextlib
import json
import os
import platform
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path

from runner import plugins
from runner.records import locks, provenance
from runner.records.files import write_json
from runner.records.job import Job, Stage
from runner.records.stopwatch import Stopwatch
from runner.records.store import ARM, LOCK, SECONDS, UNTIMED
from runner.trial import checkpoint, science
from runner.trial.machine_lock import lock_machine
from runner.trial.training import TrialStopped
from runner.trial.trial import SendEvent, Trial
from runner.wording.output import describe_error, truncate_middle

TRACEBACK = 20_000  # letters of a traceback that a status keeps


def compute_stage(job: Job, send: SendEvent) -> None:
    """Compute one stage of a trial, unless another process has meanwhile; failures are raised."""
    slot = job.slot
    slot.folder.mkdir(parents=True, exist_ok=True)
    with (
        lock_of(slot.folder / LOCK, send),
        lock_machine(
            exclusive=job.stage is Stage.timing,
            on_wait=lambda: send(
                {"state": "waiting", "why": "what is timed has the machine alone"}
            ),
            on_failure=lambda why: send(
                {"note": f"trials cannot be kept apart from what is timed on this machine: {why}"}
            ),
        ),
    ):
        send({"state": "computing"})
        again = bool(job.passes) and slot.reopen_for_timing(job.code, job.passes)
        before = slot.read_first_stage(job.code)
        if (slot.is_finished(job.code) and not again) or (before and job.stage is Stage.run):
            return
        slot.write_first_finish()
        if slot.status().get("code") != job.code or slot.read_records().unusable_reason:
            slot.clear()
        slot.write_status("running", pid=os.getpid(), host=platform.node(), code=job.code)
        trial, watch, owner = None, Stopwatch(slot.folder / SECONDS), os.getpid()
        try:
            plugins.import_plugins(job.plugins)
            write_json(slot.folder.parent / ARM, json.loads(job.signature_text))
            trial = Trial(job, send, watch)
            signal.signal(signal.SIGTERM, trial.request_stop)
            if before:
                trial.restore_first_stage(before)
            if task := getattr(job.config.parts, "task", None):
                science.restore_data(task, job.cache, job.data)
            science.stage(job.config.experiment, job.stage)(trial)
            if job.stage is Stage.run:
                record_costs(trial)
            leave_if_forked(owner)
            finish(job, trial, watch)
        except BaseException as error:
            leave_if_forked(owner)
            record_failure(job, send, trial, watch, error)
            raise


def record_costs(trial: Trial) -> None:
    """Record what the arm costs, counted from its options, where it has a task to train on."""
    parts = vars(trial.config.parts)
    if "task" in parts:
        costs = science.costs(parts)
        counts = {"parameters": costs["params"], "active_parameters": costs["active_params"]}
        trial.record({f"cost/{name}": count for name, count in counts.items()}, "1")
        trial.record({"cost/flops_per_token": costs["flops"]}, "FLOP")


def leave_if_forked(owner: int) -> None:
    """End a process that the trial's process has forked: the records are not its own to write."""
    if os.getpid() != owner:
        os._exit(1)


def record_failure(
    job: Job, send: SendEvent, trial: Trial | None, watch: Stopwatch, error: BaseException
) -> None:
    """Write why a trial ended without a result. What the disk does not take is left out."""
    with contextlib.suppress(Exception):
        watch.save()
    with contextlib.suppress(Exception):
        if job.slot.restore_result(job.code):  # the result of the passes before stands
            why = f"timing it once more has failed ({one_line(error)}); earlier times stand"
            send({"note": f"{job.arm} seed {job.seed}: {why}"})
            return
    with contextlib.suppress(Exception):
        if trial:
            trial.close("failed")
    state, details = "failed", {"traceback": truncate_middle(traceback.format_exc(), TRACEBACK)}
    if isinstance(error, TrialStopped):
        state, details = "killed", {}
    with contextlib.suppress(Exception):  # then the parent hears it alone
        message = one_line(error)
        job.slot.write_status(state, pid=os.getpid(), code=job.code, message=message, **details)


@contextlib.contextmanager
def lock_of(path: Path, send: SendEvent) -> Iterator[None]:
    """Hold the lock of a trial; that another process computes it, or that nothing locks, is said.

    Raises OSError where no file can be made.
    """
    with locks.open_lock_file(path) as descriptor:
        try:
            locks.lock(
                descriptor,
                exclusive=True,
                on_wait=lambda: send({"state": "waiting", "why": "another process computes it"}),
            )
        except OSError as error:
            send({"note": f"two commands that compute one trial are not kept apart: {error}"})
        yield


def finish(job: Job, trial: Trial, watch: Stopwatch) -> None:
    """Write the result, then the status that makes it count; too short to be stopped.

    A timed trial that diverged in its first stage is finished without its timings.
    """
    trial.defer_stop = True
    clipped = trial.replace_diverged_values()
    trial.close("done")
    checkpoint.clear(trial.checkpoints, keep_last=True)
    rows = [
        {"metric": name, "value": value, "unit": unit}
        | ({"clipped": True} if name in clipped else {})
        for name, (value, unit) in trial.results.items()
    ]
    seconds = watch.save()
    record = {
        "arm": job.arm,
        "seed": job.seed,
        "code": job.code,
        "data": job.data,
        "device": job.device.value,
        "machine": provenance.machine(),
        "versions": provenance.runtime_versions(),
        "threads": job.config.device.threads,
        "seconds": seconds,
        "from_step": trial.from_step,
        "results": rows,
        "notes": trial.notes,
    }
    timed = science.has_timing_stage(job.config.experiment)
    if job.stage is Stage.run and timed and not trial.diverged:
        job.slot.write_first_stage(record)
        job.slot.write_status(UNTIMED, code=job.code, seconds=seconds)
        return
    if job.stage is Stage.timing:
        record |= {"passes": trial.passes + 1, "samples": trial.samples}
    job.slot.write_result(record)
    job.slot.write_first_finish(provenance.current_time())
    state = "diverged" if trial.diverged else "done"
    message = trial.diverged or "; ".join(trial.notes)
    job.slot.write_status(state, code=job.code, seconds=seconds, message=message)


def one_line(error: BaseException) -> str:
    """The kind and first line of an error; of a wish to stop its text alone."""
    return truncate_middle(error) if isinstance(error, TrialStopped) else describe_error(error)
