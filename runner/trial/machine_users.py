"""The trials that use the machine now: a small locked file for each, to say what a trial waits for.

The file names the experiment, the stage and the command of a trial that holds the machine lock or
waits for it. Its process holds a lock on it, so the file of a killed process is recognised and
removed.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from runner.records import locks, private_folders
from runner.records.files import list_names, read_json
from runner.records.job import Job, Stage

PREFIX = "trial-"


@dataclass(frozen=True)
class MachineUser:
    """A trial that holds the machine lock, or waits for it.

    Attributes:
        experiment: its experiment.
        stage: its stage; a timing needs the machine for itself.
        command_pid: the process id of the command that started it.
        holds: whether it holds the lock.
    """

    experiment: str
    stage: str
    command_pid: int
    holds: bool = False

    def __str__(self) -> str:
        return f"{self.experiment} (process {self.command_pid})"


@contextlib.contextmanager
def announce_use(job: Job) -> Iterator[Callable[[], None]]:
    """Announce that a trial waits for the machine lock; yield a function that says it holds it.

    Where no file can be written or locked, nothing is announced.
    """
    user = MachineUser(str(job.config.experiment), job.stage.value, job.command_pid)
    with contextlib.ExitStack() as stack:
        path = None
        with contextlib.suppress(OSError):
            folder = private_folders.lock_folder()
            # Locked under another name first: an unlocked file counts as that of a dead process.
            draft = folder / f".{PREFIX}{os.getpid()}"
            locks.lock(
                stack.enter_context(locks.open_lock_file(draft)),
                exclusive=True,
                on_wait=lambda: None,
            )
            draft.write_text(json.dumps(asdict(user)), encoding="utf-8")
            path = draft.replace(folder / f"{PREFIX}{os.getpid()}")
            stack.callback(path.unlink, missing_ok=True)

        def mark_held() -> None:
            if path is not None:
                with contextlib.suppress(OSError):
                    path.write_text(json.dumps(asdict(replace(user, holds=True))), encoding="utf-8")

        yield mark_held


def other_users(command_pid: int) -> list[MachineUser]:
    """Return the trials of other commands that hold the machine lock or wait for it."""
    users = []
    with contextlib.suppress(OSError):
        folder = private_folders.lock_folder()
        for path in (folder / name for name in list_names(folder) if name.startswith(PREFIX)):
            if locks.is_free(path, if_unknown=False):
                with contextlib.suppress(OSError):
                    path.unlink()
            elif (user := read_user(path)) is not None and user.command_pid != command_pid:
                users.append(user)
    return users


def read_user(path: Path) -> MachineUser | None:
    """Return the trial that a file names; None where it cannot be read."""
    record = read_json(path) or {}
    try:
        pid, holds = int(record["command_pid"]), bool(record["holds"])
        return MachineUser(str(record["experiment"])[:80], str(record["stage"]), pid, holds)
    except (KeyError, TypeError, ValueError):
        return None


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
