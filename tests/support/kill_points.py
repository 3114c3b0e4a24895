"""Kills trials at chosen points: real signals to real processes, which start in milliseconds.

A nursery is a process that has imported everything and forks children in turn. Each child computes
one trial, as a process of the pool does. A kill point is the k-th time that a trial passes a seam.
Seams are patched into the child only: the code of the project does not contain them.
"""

import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIG_DFL, SIGKILL, SIGTERM, Signals, signal
from typing import Any

import torch
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from runner.records.job import Job
from runner.study import pool
from runner.trial import checkpoint, compute, training
from runner.trial.compute import compute_stage

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}
WRITING = os.O_WRONLY | os.O_RDWR
Stages = Sequence[Job]
Tear = Callable[[], object]


@dataclass(frozen=True)
class KillPoint:
    """The `call`-th passage of a seam, counted from 1, and the signal to send there."""

    seam: str
    call: int
    by: Signals = SIGKILL


@dataclass
class Trap:
    """A counter of passages of seams, which sends the signal at its kill point."""

    point: KillPoint | None = None
    passed: Counter[str] = field(default_factory=Counter)

    def __call__(self, seam: str, tear: Tear = lambda: None) -> None:
        """Count a passage; at the kill point do the damage of a kill and send the signal."""
        self.passed[seam] += 1
        if self.point and (self.point.seam, self.point.call) == (seam, self.passed[seam]):
            if self.point.by is SIGKILL:
                tear()
            os.kill(os.getpid(), self.point.by)


Passage = Callable[..., None]
Seam = Callable[[Passage, Path], None]


def after(owner: Any, name: str) -> Seam:
    """Return a seam after every call of a function."""

    def install(passage: Passage, folder: Path) -> None:  # noqa: ARG001
        original = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            result = original(*args, **options)
            passage()
            return result

        setattr(owner, name, call)

    return install


def half_written(owner: Any, name: str) -> Seam:
    """Return a seam within a call that writes a file, its second argument: half is written."""

    def install(passage: Passage, folder: Path) -> None:  # noqa: ARG001
        original = getattr(owner, name)

        def call(what: Any, path: Path, *args: Any, **options: Any) -> None:
            original(what, path, *args, **options)
            passage(lambda: os.truncate(path, Path(path).stat().st_size // 2))

        setattr(owner, name, call)

    return install


def synced(passage: Passage, folder: Path) -> None:  # noqa: ARG001
    """Install a seam before a file is synced to the disk: its last bytes are missing."""
    original, on_disk = os.fsync, {}

    def tear(handle: int, least: int) -> None:
        with contextlib.suppress(OSError):  # open for reading: it was written by others
            os.ftruncate(handle, max(least, os.fstat(handle).st_size - 5))

    def call(handle: int) -> None:
        file = os.fstat(handle)
        passage(partial(tear, handle, on_disk.get(file.st_ino, 0)))
        original(handle)
        on_disk[file.st_ino] = file.st_size

    os.fsync = call


def file_changes(passage: Passage, folder: Path) -> None:
    """Install a seam before each write to, creation, renaming or removal of a file of the trial.

    Only changes by the main thread count: the thread of events repeats the rows of metrics.csv.
    """

    def hear(event: str, args: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & WRITING
        if (writes or event in CHANGES) and threading.current_thread() is threading.main_thread():
            # `shutil.rmtree` names the files that it removes relative to an open folder.
            inside = str(args[0]).startswith(str(folder))
            if inside or (event in {"os.remove", "os.rmdir"} and args[1] != -1):
                passage()

    sys.addaudithook(hear)


SEAMS: dict[str, Seam] = {
    "part of a step": after(torch.Tensor, "backward"),
    "step": after(torch.optim.AdamW, "step"),
    "evaluation": after(training, "evaluate"),
    "weights": half_written(checkpoint, "save_model"),
    "state": half_written(torch, "save"),
    "checkpoint": after(checkpoint, "save"),
    "events": after(EventFileWriter, "flush"),
    "sync": synced,
    "file change": file_changes,
}


class ForkServer:
    """A client that runs the stages of one trial in a child; see `fork_server()`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, stages: Stages, point: KillPoint | None = None) -> int:
        """Compute a trial to its end or kill point; return the exit code (negative: a signal)."""
        self._connection.send((stages, point))
        return self._connection.recv()

    def count_passages(self, stages: Stages) -> Counter[str]:
        """Compute a trial to its end, and return how often it passed each seam."""
        assert self.run(stages) == 0, (stages[0].slot.folder / "log.txt").read_text()
        return Counter(json.loads(passages(stages).read_text()))


@contextlib.contextmanager
def fork_server(warm_up: Stages) -> Iterator[ForkServer]:
    """Start a nursery that has computed `warm_up` itself, so that all code is loaded."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=bear, args=(warm_up, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ForkServer(ours)
    finally:
        ours.close()
        process.join()


def bear(warm_up: Stages, connection: Connection) -> None:
    """Fork a child for each request, until the other side closes."""
    # The lock of timings is shared by the machine: do not wait for other processes.
    tempfile.tempdir = str(warm_up[0].slot.folder)
    # Keep the optimizer state of finished trials, so that it is compared too.
    compute.keep_weights = lambda _: None
    for job in warm_up:
        compute_stage(job, Deaf().send)
    signal(SIGTERM, SIG_DFL)  # so that children do not run this process's handler
    with contextlib.suppress(EOFError):
        while True:
            stages, point = connection.recv()
            child = os.fork()
            if not child:
                live(stages, point)
            connection.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def live(stages: Stages, point: KillPoint | None) -> None:
    """Compute the stages of a trial with its seams installed, and exit."""
    trap = Trap(point)
    for name in [point.seam] if point else SEAMS:
        SEAMS[name](partial(trap, name), stages[0].slot.folder)
    for job in stages:
        pool.run_in_child(job, Deaf())  # type: ignore[arg-type]
    if not point:
        passages(stages).write_text(json.dumps(trap.passed))
    os._exit(0)


def passages(stages: Stages) -> Path:
    """Return the path of a child's counts of passages."""
    return stages[0].slot.folder.parent / "passages.json"


class Deaf:
    """A connection to a pool that discards all events."""

    def send(self, event: dict[str, Any]) -> None:
        """Discard an event."""
