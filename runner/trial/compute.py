"""Compute one stage of a trial in this process: take its locks, write its status and result."""

import contextlib
import os
import platform
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path

from runner import plugins
from runner.config import Scale, StudyError
from runner.records import locks, provenance
from runner.records.arm_folders import claim_folder, signature, write_arm
from runner.records.checkpoint_files import keep_weights
from runner.records.job import Job, Stage
from runner.records.stopwatch import Stopwatch
from runner.records.store import LOCK, SECONDS, UNTIMED
from runner.trial import checkpoint, science
from runner.trial.machine_lock import lock_machine
from runner.trial.machine_users import (
    announce_use,
    describe_disturbance,
    describe_wait,
    is_disturbed,
)
from runner.trial.training import TrialStopped
from runner.trial.trial import SendEvent, Trial
from runner.wording.output import describe_error, truncate_middle

DISTURBED_NOTE = "a smoke run computed while this trial was timed, which may have slowed it"
MAX_TRACEBACK_CHARACTERS = 20_000  # longer tracebacks are truncated in the status


def compute_stage(job: Job, send: SendEvent) -> None:
    """Compute one stage of a trial; do nothing if another process has finished it in the meantime.

    `send` is called with events for the parent; see `runner.study.pool.run_jobs`.

    Raises:
        StudyError: the folder of the arm is another arm's.
        BaseException: the trial failed or was stopped. The reason is in its status, if the status
            could be written.
    """
    slot = job.slot
    refuse_foreign_folder(job)
    slot.folder.mkdir(parents=True, exist_ok=True)
    is_smoke = job.scale is Scale.smoke
    # The lock of the trial keeps other commands from computing it at the same time. The lock of the
    # machine is exclusive for timing, so that no other trial slows it down.
    with (
        lock_trial(slot.folder / LOCK, send),
        announce_use(job) as mark_computing,
        lock_machine(
            exclusive=job.stage is Stage.timing and not is_smoke,
            waits=not is_smoke,
            on_wait=lambda: send({"state": "waiting", "why": describe_wait(job)}),
            on_failure=lambda why: send(
                {"note": f"other trials may disturb timings: the machine has no lock ({why})"}
            ),
        ) as disturbs,
    ):
        # From here on, other studies that wait can say that they wait for this one.
        mark_computing(disturbs)
        if disturbs:
            send({"note": describe_disturbance(job)})
        send({"state": "computing"})
        # Another process may have computed this stage while this one waited for the locks.
        is_new_pass = bool(job.passes) and slot.reopen_for_timing(job.code, job.passes)
        first_stage = slot.read_first_stage(job.code)
        if (slot.is_finished(job.code) and not is_new_pass) or (
            first_stage and job.stage is Stage.run
        ):
            return
        # Clear records that are damaged or of other code: they must not be resumed. The time of the
        # first finish outlives them.
        slot.write_first_finish()
        if slot.status().get("code") != job.code or slot.read_records().unusable_reason:
            slot.clear()
        # Written before the work: after a crash the status still names the process and the code.
        slot.write_status("running", pid=os.getpid(), host=platform.node(), code=job.code)
        trial, watch, trial_pid = None, Stopwatch(slot.folder / SECONDS), os.getpid()
        try:
            # Plug-ins first: the trial may use their parts, tasks and experiments.
            plugins.import_plugins(job.plugins)
            write_arm(slot.arm_folder, job.signature_text)
            trial = Trial(job, send, watch)
            # From here on SIGTERM lets the training end its step and write a checkpoint.
            signal.signal(signal.SIGTERM, trial.request_stop)
            # The final result has the values of both stages.
            if first_stage:
                trial.restore_first_stage(first_stage)
            # The data may have been deleted since the plan was made.
            if task := getattr(job.config.parts, "task", None):
                science.restore_data(task, job.cache, job.data)
            # The function of the experiment: `run(trial)` or `timing(trial)`.
            science.stage(job.config.experiment, job.stage)(trial)
            if job.stage is Stage.run:
                record_costs(trial)
            elif is_disturbed():
                trial.note(DISTURBED_NOTE)
            # A process that the experiment forked (e.g. a data loader) must not write records.
            leave_if_forked(trial_pid)
            finish(job, trial, watch)
        except BaseException as error:
            leave_if_forked(trial_pid)
            # Record the reason, then let the process end with exit code 1.
            record_failure(job, send, trial, watch, error)
            raise


def refuse_foreign_folder(job: Job) -> None:
    """Raise StudyError if the folder of a job's arm is another arm's; nothing is written there.

    The command claims the folder first, unless the disk was full.
    """
    folder = job.slot.arm_folder
    if not claim_folder(folder, signature(job.signature_text)):
        raise StudyError(
            f"{folder} belongs to another arm, which another command computes; "
            "run the command again, which chooses another folder"
        )


def record_costs(trial: Trial) -> None:
    """Record the costs of the arm, counted from its options, if it has a task to train on."""
    parts = vars(trial.config.parts)
    if "task" in parts:
        costs = science.costs(parts)
        counts = {"parameters": costs["params"], "active_parameters": costs["active_params"]}
        trial.record({f"cost/{name}": count for name, count in counts.items()}, "1")
        trial.record({"cost/flops_per_token": costs["flops"]}, "FLOP")


def leave_if_forked(trial_pid: int) -> None:
    """End this process if the trial's process forked it: only that one writes the records."""
    if os.getpid() != trial_pid:
        os._exit(1)


def record_failure(
    job: Job, send: SendEvent, trial: Trial | None, watch: Stopwatch, error: BaseException
) -> None:
    """Write why a trial ended without a result; skip records that the disk does not accept."""
    with contextlib.suppress(Exception):
        watch.save()
    with contextlib.suppress(Exception):
        if job.slot.restore_result(job.code):  # the result of the earlier passes is kept
            reason = describe_in_one_line(error)
            why = f"a further timing pass failed ({reason}); its earlier times are kept"
            send({"note": f"{job.arm} seed {job.seed}: {why}"})
            return
    with contextlib.suppress(Exception):
        if trial:
            trial.close("failed")
    state, details = (
        "failed",
        {"traceback": truncate_middle(traceback.format_exc(), MAX_TRACEBACK_CHARACTERS)},
    )
    if isinstance(error, TrialStopped):
        state, details = "killed", {}
    with contextlib.suppress(
        Exception
    ):  # on failure only the parent learns the reason, by an event
        message = describe_in_one_line(error)
        job.slot.write_status(state, pid=os.getpid(), code=job.code, message=message, **details)


@contextlib.contextmanager
def lock_trial(path: Path, send: SendEvent) -> Iterator[None]:
    """Hold the exclusive lock of a trial; send an event while waiting, or if locks do not work.

    Raises:
        OSError: the lock file cannot be made.
    """
    with locks.open_lock_file(path) as descriptor:
        try:
            locks.lock(
                descriptor,
                exclusive=True,
                on_wait=lambda: send({"state": "waiting", "why": "another process computes it"}),
            )
        except OSError as error:
            send({"note": f"two commands may compute one trial at a time, without a lock: {error}"})
        yield


def finish(job: Job, trial: Trial, watch: Stopwatch) -> None:
    """Write the result, then the status that makes it count.

    A timed trial that diverged in its first stage is finished without its timings.
    """
    trial.defer_stop = True  # this takes so little time that a stop request can wait
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
        drop_training_state(trial)
        return
    if job.stage is Stage.timing:
        record |= {"passes": trial.passes + 1, "samples": trial.samples}
        record |= {"run_seconds": trial.run_seconds}
    job.slot.write_result(record)
    job.slot.write_first_finish(provenance.current_time())
    state = "diverged" if trial.diverged else "done"
    message = trial.diverged or "; ".join(trial.notes)
    job.slot.write_status(state, code=job.code, seconds=seconds, message=message)
    drop_training_state(trial)


def drop_training_state(trial: Trial) -> None:
    """Delete what only a resumed training needs; the trial's result is written already."""
    with contextlib.suppress(OSError):
        keep_weights(trial.checkpoints)


def describe_in_one_line(error: BaseException) -> str:
    """Return the type and first line of an error; of a stop request only its text."""
    return truncate_middle(error) if isinstance(error, TrialStopped) else describe_error(error)
