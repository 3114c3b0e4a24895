"""The trials that use the machine now: a small locked file for each, to say what a trial waits for.

The file names the experiment, the stage and the command of a trial that holds the machine lock or
waits for it. Its process holds a lock on it, so the file of a killed process is recognised and
removed.

A trial of a smoke run does not wait while another study times. It says so in its file, and it marks
the timings that run by files `disturbed-<pid>`, which these read at their end.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from runner.records import locks, private_folders
from runner.records.files import list_names, read_json
from runner.records.job import Job, Stage

PREFIX, DRAFT_PREFIX, DISTURBED = "trial-", ".trial-", "disturbed-"
DRAFT_SECONDS = 60  # a draft lives for milliseconds; an older one is of a killed process


@dataclass(frozen=True)
class MachineUser:
    """A trial that holds the machine lock, or waits for it.

    Attributes:
        experiment: its experiment.
        stage: its stage; a timing needs the machine for itself.
        command_pid: the process id of the command that started it.
        holds: whether it computes, and holds the lock if it can.
        disturbs: whether it computes without the lock while another study times.
    """

    experiment: str
    stage: str
    command_pid: int
    holds: bool = False
    disturbs: bool = False

    def __str__(self) -> str:
        return f"{self.experiment} (process {self.command_pid})"


@contextlib.contextmanager
def announce_use(job: Job) -> Iterator[Callable[[bool], None]]:
    """Announce that a trial waits for the machine lock; yield a function that says it computes.

    The function's argument is whether the trial disturbs the timings of other studies. Where no
    file can be written or locked, nothing is announced.
    """
    user = MachineUser(job.question or str(job.config.experiment), job.stage.value, job.command_pid)
    with contextlib.ExitStack() as stack:
        path = None
        with contextlib.suppress(OSError):
            folder = private_folders.lock_folder()
            remove_old_drafts(folder)
            # Locked under another name first: an unlocked file counts as that of a dead process.
            draft = folder / f"{DRAFT_PREFIX}{os.getpid()}"
            stack.callback(unlink_quietly, draft)
            locks.lock(
                stack.enter_context(locks.open_lock_file(draft)),
                exclusive=True,
                on_wait=lambda: None,
            )
            draft.write_text(json.dumps(asdict(user)), encoding="utf-8")
            path = draft.replace(folder / f"{PREFIX}{os.getpid()}")
            stack.callback(unlink_quietly, path)
            unlink_quietly(mark := folder / f"{DISTURBED}{os.getpid()}")  # of an earlier process
            stack.callback(unlink_quietly, mark)

        def mark_computing(disturbs: bool = False) -> None:
            if path is not None:
                with contextlib.suppress(OSError):
                    record = asdict(replace(user, holds=True, disturbs=disturbs))
                    path.write_text(json.dumps(record), encoding="utf-8")
                    mark_disturbed_timings(job, disturbs=disturbs)

        yield mark_computing


def mark_disturbed_timings(job: Job, *, disturbs: bool) -> None:
    """Mark the timings that a smoke trial disturbs, or this one if such a trial runs already.

    Raises:
        OSError: a mark cannot be written.
    """
    folder = private_folders.lock_folder()
    others = users_by_pid(job.command_pid)
    if disturbs:
        for pid, user in others.items():
            if user.stage == Stage.timing and user.holds:
                (folder / f"{DISTURBED}{pid}").touch()
    elif job.stage is Stage.timing and any(user.disturbs for user in others.values()):
        (folder / f"{DISTURBED}{os.getpid()}").touch()


def is_disturbed() -> bool:
    """Whether a smoke trial of another study has computed while this process timed a trial."""
    try:
        return (private_folders.lock_folder() / f"{DISTURBED}{os.getpid()}").exists()
    except OSError:
        return False


def remove_old_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes have left."""
    for path in (folder / name for name in list_names(folder) if name.startswith(DRAFT_PREFIX)):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > DRAFT_SECONDS:
                path.unlink()


def unlink_quietly(path: Path) -> None:
    """Remove a file, if it exists and can be removed."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def other_users(command_pid: int) -> list[MachineUser]:
    """Return the trials of other commands that hold the machine lock or wait for it."""
    return list(users_by_pid(command_pid).values())


def users_by_pid(command_pid: int) -> dict[str, MachineUser]:
    """Return the trials of other commands by the process id of the trial, as text."""
    users = {}
    with contextlib.suppress(OSError):
        folder = private_folders.lock_folder()
        for path in (folder / name for name in list_names(folder) if name.startswith(PREFIX)):
            pid = path.name.removeprefix(PREFIX)
            if locks.is_free(path, if_unknown=False):
                unlink_quietly(path)
                unlink_quietly(folder / f"{DISTURBED}{pid}")
            elif (user := read_user(path)) is not None and user.command_pid != command_pid:
                users[pid] = user
    return users


def read_user(path: Path) -> MachineUser | None:
    """Return the trial that a file names; None where it cannot be read."""
    record = read_json(path) or {}
    try:
        pid, holds = int(record["command_pid"]), bool(record["holds"])
        disturbs = bool(record.get("disturbs"))  # missing in files of earlier versions
        return MachineUser(
            str(record["experiment"])[:80], str(record["stage"]), pid, holds, disturbs
        )
    except (KeyError, TypeError, ValueError):
        return None


def describe_disturbance(job: Job) -> str:
    """Return a note on the timings of other studies that a smoke trial does not wait for."""
    timings = sorted({str(u) for u in other_users(job.command_pid) if u.stage == Stage.timing})
    return (
        f"{', '.join(timings) or 'another study'} times its trials now, and a smoke run does not "
        "wait: the times of both may be disturbed"
    )


def describe_wait(job: Job) -> str:
    """Return why a trial waits for the machine lock, the same text for all trials of a study."""
    others = other_users(job.command_pid)
    timings = sorted({str(user) for user in others if user.stage == Stage.timing})
    if job.stage is Stage.run:
        if not timings:
            return "another study times its trials and needs the machine for itself"
        return f"{', '.join(timings)} times its trials and needs the machine for itself"
    running = sorted({str(user) for user in others if user.stage == Stage.run and user.holds})
    if not timings and not running:
        return "timing needs the machine for itself, and other trials use it"
    return f"timing needs the machine for itself, and trials of {', '.join(timings + running)} run"
