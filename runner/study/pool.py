"""Trials in processes of their own, a few at a time. Imports no torch.

Each process is forked from a server that has imported torch and computed nothing, so a trial starts
within milliseconds and inherits no state of another. A process that dies takes only its own trial
with it, and what it forked ends with it: each has a process group of its own.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from runner import registry
from runner.records import private_folders
from runner.records.job import Job
from runner.records.store import LOG
from runner.study import interrupts
from runner.study.termination import stop_processes
from runner.study.trial_process import TrialProcess
from runner.wording.output import SafeStream, describe_error

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

    OnEvent = Callable[[Job, dict[str, Any]], None]

# glibc gives freed memory back and faults it in again for every large tensor; with higher
# thresholds it keeps it.
MALLOC_SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "67108864",
}

LOOK = 0.5  # seconds between looks at clocks and signals while nothing is heard


def run_jobs(jobs: Sequence[Job], workers: int, on_event: "OnEvent") -> None:
    """Compute jobs, `workers` at a time, in order.

    `on_event` hears of each job

    - `{"state": "started", "pid"}`,
    - perhaps `{"state": "waiting", "why"}`, `{"note"}`, `{"state": "silent", "seconds"}`,
    - `{"state": "computing"}` once the job has its locks, progress `{"step", "steps", "loss"}`,
    - `{"state": "failed", "message"}` where an error ended it,
    - `{"state": "ended", "exitcode", "pid", "why"}`, where `why` says what made us end it, or why
      no process could be started; what a job achieved stands in its status file.
    """
    context = server_context(jobs)
    waiting = deque(jobs)
    running: list[TrialProcess] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                start(context, waiting.popleft(), running, on_event)
            wait([handle for each in running for handle in each.handles()], timeout=LOOK)
            interrupts.raise_if_interrupted()
            for each in list(running):
                for event in each.events():
                    on_event(each.job, event)
                if each.has_ended():
                    running.remove(each)
                    for event in each.close():
                        on_event(each.job, event)
    finally:
        stop_processes([each.process for each in running])


def server_context(jobs: Sequence[Job]) -> "ForkServerContext":
    """What starts processes of these jobs."""
    for name, value in MALLOC_SETTINGS.items():
        os.environ.setdefault(name, value)
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        # Inside joblib's launcher: children would ask for a start method that they do not know.
        multiprocessing.set_start_method("forkserver", force=True)
    context = multiprocessing.get_context("forkserver")
    # torch imports its compiler at the first optimizer or gradient: once here, not in every trial.
    context.set_forkserver_preload(["runner.trial.compute", "torch._dynamo", *page_modules(jobs)])
    private_folders.prepare_socket_folder()
    return context


def page_modules(jobs: Sequence[Job]) -> list[str]:
    """Return our modules of the questions of these jobs, which the server imports once for all.

    A page of a plug-in is left to each trial, which imports all plug-ins in their order: in the
    server it might be imported before another that it needs, and its error would end the server.
    """
    modules = {registry.page_module(job.config.experiment) for job in jobs}
    return sorted(name for name in modules if name.startswith("experiments."))


def start(
    context: "ForkServerContext", job: Job, running: list[TrialProcess], on_event: "OnEvent"
) -> None:
    """Start the process of a job; where that fails twice (no memory, no file handles) it ends."""
    try:
        try:
            begin(context, job, running)
        except Exception:
            interrupts.raise_if_interrupted()
            recover()
            begin(context, job, running)
    except Exception as error:
        why = f"its process could not be started ({describe_error(error)})"
        on_event(job, {"state": "ended", "exitcode": 1, "pid": None, "why": why})
    else:
        on_event(job, {"state": "started", "pid": running[-1].process.pid})


def begin(context: "ForkServerContext", job: Job, running: list[TrialProcess]) -> None:
    """Start the process of a job, and a server if there is none."""
    ours, theirs = context.Pipe(duplex=False)
    with contextlib.closing(theirs):
        process = context.Process(target=child, args=(job, theirs), daemon=True)
        running.append(TrialProcess(job, process, ours))  # first, so that it is stopped in any case
        try:
            with deaf_to_interrupts():
                forkserver.ensure_running()
            process.start()
        except Exception:
            running.pop()
            ours.close()
            raise
        running[-1].server_pid = server()


def recover() -> None:
    """Make ready for a new server where the old one cannot be reached any more.

    Someone may have removed the folder of its socket. The old server is left to its trials, which
    would end with it; it ends with this process.
    """
    time.sleep(0.2)  # a server that was just killed is still there for a moment
    address = getattr(forkserver._forkserver, "_forkserver_address", None)
    if (address and not os.path.exists(address)) or private_folders.is_socket_folder_lost():  # noqa: PTH110
        vars(forkserver._forkserver).update(_forkserver_address=None, _forkserver_pid=None)
        private_folders.forget_socket_folder()
    private_folders.prepare_socket_folder()


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Let what is started meanwhile never hear Ctrl-C; ours is kept until the end.

    The server would else die of one in the seconds in which it imports torch.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def server() -> int | None:
    """The number of the server's process, if there is one."""
    pid: int | None = getattr(forkserver._forkserver, "_forkserver_pid", None)
    return pid


def end_server() -> None:
    """End the server, which may still import torch and hold the terminal; another can follow."""
    if (pid := server()) is not None:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)


def end_with_parent() -> None:
    """Let Linux send SIGTERM to this process when the server that forked it goes.

    The server goes with the parent, however that ended: no trial computes on for nobody. It would
    stay for as long as any process holds the pipe by which it knows, which each trial is given.
    """
    pipe = getattr(forkserver._forkserver, "_forkserver_alive_fd", None)
    if pipe is not None:
        os.close(pipe)
        vars(forkserver._forkserver)["_forkserver_alive_fd"] = None
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1 is PR_SET_PDEATHSIG


def child(job: Job, connection: Connection) -> None:
    """A trial's process: output into its log, progress to the parent, exit code 1 on failure."""
    with contextlib.suppress(OSError):
        os.setsid()  # what the trial forks is in its group and can be ended with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # what the server has blocked
    end_with_parent()

    def send(event: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            connection.send(event)

    try:
        log_into(job)
        from runner.trial.compute import compute_stage

        compute_stage(job, send)
    except BaseException as error:
        import traceback

        send({"state": "failed", "message": describe_error(error)})
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def log_into(job: Job) -> None:
    """Let what a trial prints go into its log, or nowhere where that cannot be written."""
    try:
        job.slot.folder.mkdir(parents=True, exist_ok=True)
        log = (job.slot.folder / LOG).open(
            "a", buffering=1, encoding="utf-8", errors="backslashreplace"
        )
    except OSError:
        log = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = SafeStream(log)
