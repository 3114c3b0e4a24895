"""How each trial of a study ended: what its process said, and what its status must say. No torch.

A status is written by the trial's own process where it can be; the parent writes it for a process
that died, and keeps it in memory where the disk takes nothing.
"""

import contextlib
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.records import locks
from runner.records.job import Job, Stage
from runner.records.store import LOCK, LOG, NOT_TIMED_AGAIN, TIMED_AGAIN, UNTIMED, Slot
from runner.study.progress import Progress
from runner.wording.output import truncate_middle


@dataclass
class TrialEventHandler:
    """Hears of the processes of a study's trials, and tells the user and the store.

    Attributes:
        progress: what the user sees.
        unwritten: the statuses of trials that failed and could not be written.
    """

    progress: Progress
    unwritten_statuses: dict[Slot, Mapping[str, Any]] = field(default_factory=dict)
    _begun: dict[Slot, tuple[Job, int]] = field(default_factory=dict)
    _errors: dict[Slot, str] = field(default_factory=dict)

    def handle(self, job: Job, event: Mapping[str, Any]) -> None:
        """Take in an event of `runner.study.pool.run_jobs`."""
        name = f"{job.arm} seed {job.seed}"
        state = event.get("state")
        if state == "started":
            self._begun[job.slot] = job, event["pid"]
            self.progress.start(name, job.stage)
        elif state == "waiting":
            self.progress.show_waiting(name, event["why"])
        elif state == "silent":
            self.progress.show_silence(name, event["seconds"], job.slot.folder / LOG)
        elif state == "failed":
            self._errors[job.slot] = event["message"]
        elif state == "ended":
            self._end(name, job, event)
        elif "note" in event:
            self.progress.note(event["note"])
        else:
            self.progress.step(name, event["step"], event["steps"], event["loss"])

    def _end(self, name: str, job: Job, event: Mapping[str, Any]) -> None:
        self._begun.pop(job.slot, None)
        error = self._errors.pop(job.slot, "")
        status = finalize_status(job, event["exitcode"], event["pid"], event.get("why", ""), error)
        self.unwritten_statuses.pop(job.slot, None)
        if status.pop("unwritten", False):
            self.unwritten_statuses[job.slot] = status
        message = status.get("message", "")
        self.progress.end(name, status["state"], status.get("seconds"), message)

    def mark_interrupted(self) -> None:
        """Mark the trials whose processes were killed before they wrote a status."""
        for slot, (job, pid) in self._begun.items():
            status = slot.status()
            running = status["state"] == "running" and status.get("pid") == pid
            with contextlib.suppress(OSError):
                if running and not slot.restore_result(job.code):
                    slot.write_status("killed", message="interrupted", code=job.code)


def finalize_status(
    job: Job, exitcode: int, pid: int | None, why: str = "", error: str = ""
) -> dict[str, Any]:
    """The status of a trial whose process has ended; it has `unwritten_statuses` where no file says so.

    What the job was to achieve counts whoever has computed it. Otherwise the trial has failed or
    was killed, whatever an earlier process, perhaps of other code, has left in its status. Where
    only a further timing pass has, the result of the passes before stands.

    Args:
        job: what was to be computed.
        exitcode: of the process; below 0 it is a signal.
        pid: of the process.
        why: what made the parent end it, or why it could not be started.
        error: the error that the process told the parent of.
    """
    how = describe_exit(exitcode)
    elsewhere = not locks.is_free(job.slot.folder / LOCK)
    if not job.slot.is_finished(job.code) and job.stage is Stage.timing and not elsewhere:
        with contextlib.suppress(OSError):
            job.slot.restore_result(job.code)
    reading = job.slot.read_records()
    status, result = dict(reading.status), reading.result
    if result is not None and result["code"] == job.code:
        if not job.passes:
            return status
        if result["passes"] > job.passes:
            return status | {"state": TIMED_AGAIN}
        message = f"{why or error or f'its process ended with {how}'}; its earlier times stand"
        return status | {"state": NOT_TIMED_AGAIN, "message": message}
    if job.stage is Stage.run and job.slot.read_first_stage(job.code):
        return status | {"state": UNTIMED}
    return write_failed_status(
        job, status, exitcode, pid, why, error or reading.damage, elsewhere=elsewhere
    )


def write_failed_status(
    job: Job,
    status: Mapping[str, Any],
    exitcode: int,
    pid: int | None,
    why: str,
    error: str,
    *,
    elsewhere: bool,
) -> dict[str, Any]:
    """Write the status of a trial without a result, unless its own process has; see `finalize_status`."""
    own = status.get("pid") == pid and status["state"] in ("failed", "killed")
    if own and not why:
        return dict(status)
    if own:
        message = str(status.get("message", ""))
    else:
        died = f"its process ended with {describe_exit(exitcode)} and left no result"
        message = error or (died if pid is not None or not why else "")  # else none was started
    killed = exitcode < 0 or (own and status["state"] == "killed")
    state = "killed" if killed else "failed"
    ended = {"message": truncate_middle("; ".join(text for text in (why, message) if text))}
    ended["code"] = status.get("code", "")  # of the checkpoints that lie there
    if elsewhere:
        return {"state": state, **ended}
    try:
        job.slot.write_status(state, **ended)
    except OSError:
        return {"state": state, **ended, "unwritten": True}
    return {"state": state, **ended}


def describe_exit(exitcode: int) -> str:
    """How a process ended, in words."""
    if exitcode >= 0:
        return f"exit code {exitcode}"
    try:
        return f"signal {signal.Signals(-exitcode).name}"
    except ValueError:  # a real-time signal
        return f"signal {-exitcode}"
