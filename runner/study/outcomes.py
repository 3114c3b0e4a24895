"""How each trial of a study ended: the events of its process, and its final status. No torch.

The trial's own process writes its status. The parent writes it for a process that died, and keeps
it in memory if the disk cannot be written.
"""

import contextlib
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.config import DeviceName
from runner.records import locks
from runner.records.arm_folders import read_signature, signature
from runner.records.job import Job, Stage
from runner.records.store import LOCK, LOG, NOT_TIMED_AGAIN, TIMED_AGAIN, UNTIMED, Slot
from runner.study.progress import Progress
from runner.wording.output import truncate_middle

OUT_OF_GPU_MEMORY = re.compile(
    r"\bOutOfMemoryError\b|CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED"
)
"""What torch says if the memory of a GPU is exhausted."""


@dataclass
class TrialEventHandler:
    """A handler of the events of trial processes, which updates the display and the store.

    Attributes:
        progress: the display on the terminal.
        unwritten_statuses: statuses of failed trials that could not be written to the store.
    """

    progress: Progress
    unwritten_statuses: dict[Slot, Mapping[str, Any]] = field(default_factory=dict)
    _running: dict[Slot, tuple[Job, int]] = field(default_factory=dict)
    _errors: dict[Slot, str] = field(default_factory=dict)

    def handle(self, job: Job, event: Mapping[str, Any]) -> None:
        """Handle one event of `runner.study.pool.run_jobs`."""
        name = f"{job.arm} seed {job.seed}"
        state = event.get("state")
        if state == "started":
            self._running[job.slot] = job, event["pid"]
            self.progress.start(name, job.stage)
        elif state == "waiting":
            self.progress.show_waiting(name, event["why"])
        elif state == "computing":
            self.progress.compute(name)
        elif state == "silent":
            self.progress.show_silence(name, event["seconds"], job.slot.folder / LOG)
        elif state == "failed":
            self._errors[job.slot] = event["message"]
        elif state == "ended":
            self._end(name, job, event)
        elif "note" in event:
            self.progress.note(event["note"])
        else:
            from_step = event.get("from_step", 0)
            self.progress.step(name, event["step"], event["steps"], event["loss"], from_step)

    def _end(self, name: str, job: Job, event: Mapping[str, Any]) -> None:
        self._running.pop(job.slot, None)
        error = self._errors.pop(job.slot, "")
        status = finalize_status(job, event["exitcode"], event["pid"], event.get("why", ""), error)
        self.unwritten_statuses.pop(job.slot, None)
        if status.pop("unwritten", False):
            self.unwritten_statuses[job.slot] = status
        message = status.get("message", "")
        self.progress.end(name, status["state"], status.get("seconds"), message)

    def mark_interrupted(self) -> None:
        """Mark the trials whose processes were killed before they wrote a status."""
        for slot, (job, pid) in self._running.items():
            status = slot.status()
            running = status["state"] == "running" and status.get("pid") == pid
            with contextlib.suppress(OSError):
                if running and not slot.restore_result(job.code):
                    slot.write_status("killed", message="interrupted", code=job.code)


def finalize_status(
    job: Job, exitcode: int, pid: int | None, why: str = "", error: str = ""
) -> dict[str, Any]:
    """Return the final status of a trial whose process has ended, and write it if needed.

    - If the expected result exists, the job succeeded, even if another process produced it.
    - If only a further timing pass failed, the result of the earlier passes is kept.
    - Otherwise the trial failed or was killed, regardless of an older status.

    Args:
        job: the job of the process.
        exitcode: the exit code of the process; below 0 it is a signal.
        pid: the process id; None if the process could not be started.
        why: why the parent ended the process, or why it could not be started; else "".
        error: the error message that the process sent to the parent; else "".

    Returns:
        The status. It has `unwritten: True` if it could not be written to the store.
    """
    # Another command may have taken the folder for another arm, whose records are not this trial's.
    if read_signature(job.slot.arm_folder) not in (None, signature(job.signature_text)):
        message = error or why or f"{job.slot.arm_folder} belongs to another arm"
        return {"state": "failed", "message": truncate_middle(message), "unwritten": True}
    exit_description = describe_exit(exitcode)
    runs_elsewhere = not locks.is_free(job.slot.folder / LOCK)
    if not job.slot.is_finished(job.code) and job.stage is Stage.timing and not runs_elsewhere:
        with contextlib.suppress(OSError):
            job.slot.restore_result(job.code)
    records = job.slot.read_records()
    status, result = dict(records.status), records.result
    if result is not None and result["code"] == job.code:
        if not job.passes:
            return status
        if result["passes"] > job.passes:
            return status | {"state": TIMED_AGAIN}
        reason = why or error or f"its process ended with {exit_description}"
        message = f"{reason}; its earlier times are kept"
        return status | {"state": NOT_TIMED_AGAIN, "message": message}
    if job.stage is Stage.run and job.slot.read_first_stage(job.code):
        return status | {"state": UNTIMED}
    return write_failed_status(
        job, status, exitcode, pid, why, error or records.damage, runs_elsewhere=runs_elsewhere
    )


def write_failed_status(
    job: Job,
    status: Mapping[str, Any],
    exitcode: int,
    pid: int | None,
    why: str,
    error: str,
    *,
    runs_elsewhere: bool,
) -> dict[str, Any]:
    """Write the status of a trial without a result, unless its own process did.

    `runs_elsewhere`: another process computes the trial now, so its status is not overwritten. The
    other parameters are those of `finalize_status`.
    """
    is_own_status = status.get("pid") == pid and status["state"] in ("failed", "killed")
    if is_own_status and not why:
        return add_memory_hint(job, status)
    if is_own_status:
        message = str(status.get("message", ""))
    else:
        exit_message = f"its process ended with {describe_exit(exitcode)} and left no result"
        was_started = pid is not None or not why
        message = error or (exit_message if was_started else "")
    killed = exitcode < 0 or (is_own_status and status["state"] == "killed")
    state = "killed" if killed else "failed"
    reason = "; ".join(text for text in (why, message) if text)
    details = {"message": truncate_middle(memory_hint(job, reason) + reason)}
    details["code"] = status.get("code", "")  # the code that wrote the checkpoints in the slot
    if runs_elsewhere:
        return {"state": state, **details}
    try:
        job.slot.write_status(state, **details)
    except OSError:
        return {"state": state, **details, "unwritten": True}
    return {"state": state, **details}


def add_memory_hint(job: Job, status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status that a trial wrote, and write it again if it ran out of GPU memory."""
    message = str(status.get("message", ""))
    if not (hint := memory_hint(job, message)):
        return dict(status)
    labelled = {**status, "message": truncate_middle(hint + message)}
    with contextlib.suppress(OSError):
        job.slot.write_status(**labelled)
    return labelled


def memory_hint(job: Job, message: str) -> str:
    """Return the start of a message that says how to use less GPU memory; "" if it was enough."""
    if job.device is not DeviceName.cuda or not OUT_OF_GPU_MEMORY.search(message):
        return ""
    return (
        "out of GPU memory (compute fewer trials on a GPU with device.trials_per_gpu or workers, "
        "or lower training.batch_size): "
    )


def describe_exit(exitcode: int) -> str:
    """Return how a process ended, e.g. "exit code 1" or "signal SIGKILL"."""
    if exitcode >= 0:
        return f"exit code {exitcode}"
    try:
        return f"signal {signal.Signals(-exitcode).name}"
    except ValueError:  # a real-time signal
        return f"signal {-exitcode}"
