"""Trials in processes of their own, a few at a time. Imports no torch.

Each process is forked from a server that has imported torch and computed nothing, so a trial starts
within milliseconds and inherits no state of another. A process that dies takes only its own trial
with it.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

    from runner.job import Job

    OnEvent = Callable[["Job", dict[str, Any]], None]

# glibc gives freed memory back and faults it in again for every large tensor; with higher
# thresholds it keeps it.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "67108864",
}

GRACE, SOON = 60.0, 1.0
"""Seconds that processes have to end when asked, and after which it is said that they take long."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(jobs: Sequence["Job"], workers: int, on_event: "OnEvent") -> None:
    """Compute jobs, `workers` at a time, in order.

    `on_event` hears of each job `{"state": "started", "pid"}`, then perhaps `{"state": "waiting",
    "why"}` or `{"note"}`, then progress `{"step", "steps", "loss"}`, then `{"state": "ended",
    "exitcode", "pid"}`; what a job achieved stands in its status file.
    """
    for name, value in MALLOC.items():
        os.environ.setdefault(name, value)
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        # Inside joblib's launcher: children would ask for a start method that they do not know.
        multiprocessing.set_start_method("forkserver", force=True)
    context = multiprocessing.get_context("forkserver")
    # torch imports its compiler at the first optimizer or gradient: once here, not in every trial.
    context.set_forkserver_preload(
        ["runner.trial", "torch._dynamo", *{f"experiments.{j.config.experiment}" for j in jobs}]
    )
    waiting = deque(jobs)
    running: dict[Connection, tuple[Job, ForkServerProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.popleft()
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=child, args=(job, theirs), daemon=True)
                process.start()
                theirs.close()
                running[ours] = (job, process)
                on_event(job, {"state": "started", "pid": process.pid})
            for connection in wait(list(running), timeout=1.0):
                assert isinstance(connection, Connection)
                job, process = running[connection]
                try:
                    event = connection.recv()
                except (EOFError, OSError):
                    process.join()
                    del running[connection]
                    connection.close()
                    code = process.exitcode or 0
                    event = {"state": "ended", "exitcode": code, "pid": process.pid}
                on_event(job, event)
    finally:
        stop([process for _, process in running.values()])


def stop(processes: Sequence["ForkServerProcess"]) -> None:
    """End processes: ask first, so that trials end their step and write a checkpoint, then force.

    They have `GRACE` seconds together. Ctrl-C meanwhile ends them at once.
    """
    for process in processes:
        process.terminate()
    try:
        if not ended(processes, SOON):
            with contextlib.suppress(OSError):  # whoever reads our output may have gone
                print(  # noqa: T201
                    f"waiting up to {GRACE:.0f} s for checkpoints; Ctrl-C ends at once",
                    file=sys.stderr,
                    flush=True,
                )
            ended(processes, GRACE - SOON)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


def ended(processes: Sequence["ForkServerProcess"], seconds: float) -> bool:
    """Wait for processes to end; whether they have all."""
    deadline = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    return not any(process.is_alive() for process in processes)


def end_with_parent() -> None:
    """Let Linux send SIGTERM to this process when the server that forked it goes.

    The server goes with the parent, however that ended: no trial computes on for nobody.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1 is PR_SET_PDEATHSIG


def child(job: "Job", connection: Connection) -> None:
    """A trial's process: output into its log, progress to the parent, exit code 1 on failure."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    end_with_parent()
    job.slot.folder.mkdir(parents=True, exist_ok=True)
    log = (job.slot.folder / "log.txt").open(
        "a", buffering=1, encoding="utf-8", errors="backslashreplace"
    )
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = log

    def send(event: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            connection.send(event)

    try:
        from runner.trial import compute

        compute(job, send)
    except BaseException:
        import traceback

        traceback.print_exc()
        log.flush()
        os._exit(1)
