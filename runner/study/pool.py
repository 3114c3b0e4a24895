"""Compute each trial in a process of its own, a few at a time. Imports no torch.

Each process is forked from a server that has imported torch and computed nothing. So a trial starts
within milliseconds and inherits no state of another trial. A crash costs one trial. Each process
leads its own process group, so the processes that it forks are ended with it.
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
from runner.config import DeviceName
from runner.plan import gpus
from runner.records.job import Job
from runner.records.step_times import StepTimingJob
from runner.records.store import LOG
from runner.study import interrupts, main_module, socket_folder
from runner.study.termination import stop_processes
from runner.study.trial_process import TrialProcess
from runner.wording.output import SafeStream, describe_error

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

    OnEvent = Callable[[Job, dict[str, Any]], None]

# By default glibc returns the memory of each freed large tensor to the system, and every new tensor
# causes page faults. With higher thresholds it keeps the memory.
MALLOC_SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "67108864",
}
NVML_CHECK = ("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
"""Lets torch look for GPUs without CUDA: a server that has used CUDA cannot fork trials."""

PARENT_SIGNALS = tuple(number for number in interrupts.SIGNALS if number != signal.SIGTERM)
"""Signals that only the parent of trials reacts to; it passes them on as SIGTERM."""

POLL_SECONDS = 0.5  # seconds between checks of clocks and signals while no event arrives


def run_jobs(jobs: Sequence[Job], workers: int, on_event: "OnEvent") -> None:
    """Compute jobs in their order, `workers` at a time; return when all have ended.

    The status file of a trial records its result. `on_event` is called with a job and an event:

    - `{"state": "started", "pid"}`: its process runs.
    - `{"state": "waiting", "why"}`: it waits for a lock.
    - `{"state": "computing"}`: it has its locks and computes.
    - `{"note"}`: a note to print.
    - `{"step", "steps", "loss", "from_step"}`: its progress, and the step that it resumed from.
    - `{"state": "silent", "seconds"}`: it has sent no event for that time.
    - `{"state": "failed", "message"}`: an exception ended it.
    - `{"state": "ended", "exitcode", "pid", "why"}`: the last event of a job. `why` says why the
      parent ended the process, or why it could not be started; else it is "".

    Raises:
        KeyboardInterrupt: the command was interrupted; all processes have ended.
    """
    context = server_context(jobs)
    waiting = deque(jobs)
    running: list[TrialProcess] = []
    try:
        while waiting or running:
            # Start jobs until all workers are busy. A job whose process cannot start ends at once
            # and occupies no worker.
            while waiting and len(running) < workers:
                start_job(context, waiting.popleft(), running, on_event)
            # Sleep until a process sends an event or ends. The timeout bounds the delay of
            # timeouts, silence notices and interrupts, which make no handle ready.
            handles = [handle for process in running for handle in process.handles()]
            wait(handles, timeout=POLL_SECONDS)
            # KeyboardInterrupt may have been lost, e.g. in a destructor.
            interrupts.raise_if_interrupted()
            # Iterate over a copy: ended processes are removed from the list.
            for process in list(running):
                for event in process.events():
                    on_event(process.job, event)
                if process.has_ended():
                    # Remove it before closing: an interrupt in `on_event` must not stop it again.
                    running.remove(process)
                    for event in process.close():
                        on_event(process.job, event)
    finally:
        # After an error or an interrupt, let the other trials write a checkpoint, so that no
        # orphaned trial keeps running.
        stop_processes([process.process for process in running])


def server_context(jobs: Sequence[Job]) -> "ForkServerContext":
    """Return the multiprocessing context whose server forks the processes of these jobs."""
    for name, value in (*MALLOC_SETTINGS.items(), NVML_CHECK):
        os.environ.setdefault(name, value)
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        # Inside joblib's launcher the method is "loky", which child processes do not know.
        multiprocessing.set_start_method("forkserver", force=True)
    context = multiprocessing.get_context("forkserver")
    # torch imports its compiler at the first optimizer or gradient. Import it once in the server.
    context.set_forkserver_preload(["runner.trial.compute", "torch._dynamo", *page_modules(jobs)])
    socket_folder.prepare_socket_folder()
    return context


def page_modules(jobs: Sequence[Job]) -> list[str]:
    """Return the modules of these jobs' experiments, which the server imports once.

    Modules of plug-ins are left out: each trial imports all plug-ins in their order. In the server
    a plug-in might come before another one that it needs, and its error would end the server.
    """
    modules = {registry.page_module(job.config.experiment) for job in jobs}
    return sorted(name for name in modules if name.startswith("experiments."))


def start_job(
    context: "ForkServerContext", job: Job, running: list[TrialProcess], on_event: "OnEvent"
) -> None:
    """Start the process of a job; after two failures (e.g. no memory) report the job as ended."""
    try:
        try:
            start_process(context, job, running)
        except Exception:
            interrupts.raise_if_interrupted()
            forget_lost_server()
            start_process(context, job, running)
    except Exception as error:
        why = f"its process could not be started ({describe_error(error)})"
        on_event(job, {"state": "ended", "exitcode": 1, "pid": None, "why": why})
    else:
        on_event(job, {"state": "started", "pid": running[-1].process.pid})


def start_process(context: "ForkServerContext", job: Job, running: list[TrialProcess]) -> None:
    """Start the process of a job, and the server if it does not run, and append to `running`."""
    receiver, sender = context.Pipe(duplex=False)
    with contextlib.closing(sender):
        main_module.leave_out_main_module()
        name = f"{main_module.PREFIX}{job.arm}-{job.seed}"
        on_cuda = job.device is DeviceName.cuda
        gpu = gpus.least_used(gpus.visible_gpus() if on_cuda else (), [p.gpu for p in running])
        process = context.Process(
            target=run_in_child, args=(job, sender, gpu), name=name, daemon=True
        )
        # Before its start, so that it is stopped in any case.
        running.append(TrialProcess(job, process, receiver, gpu=gpu))
        try:
            with block_interrupts():
                forkserver.ensure_running()
            process.start()
        except Exception:
            running.pop()
            receiver.close()
            raise
        running[-1].server_pid = server_pid()


def forget_lost_server() -> None:
    """Prepare for a new server if the old one cannot be reached any more.

    For example, its socket was deleted. The old server keeps running, because its trials would end
    with it. It ends with this process.
    """
    time.sleep(0.2)  # a killed server takes a moment to exit
    address = getattr(forkserver._forkserver, "_forkserver_address", None)
    if (address and not os.path.exists(address)) or socket_folder.is_socket_folder_lost():  # noqa: PTH110
        vars(forkserver._forkserver).update(_forkserver_address=None, _forkserver_pid=None)
        socket_folder.forget_socket_folder()
    socket_folder.prepare_socket_folder()


@contextlib.contextmanager
def block_interrupts() -> Iterator[None]:
    """Block SIGINT and SIGUSR2 in a `with` block, for this process and those that it starts.

    Otherwise Ctrl-C would kill the server in the seconds in which it imports torch, and SIGUSR2 at
    any time: a cluster sends it to all processes of a job. A signal to this process is delivered at
    the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PARENT_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def server_pid() -> int | None:
    """Return the process id of the server; None if there is no server."""
    pid: int | None = getattr(forkserver._forkserver, "_forkserver_pid", None)
    return pid


def end_server() -> None:
    """End the server, which may still import torch and keep the terminal; a new one can start."""
    if (pid := server_pid()) is not None:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)


def end_with_parent() -> None:
    """Let Linux send SIGTERM to this process when the server that forked it ends.

    The server ends when the parent does, even if the parent was killed, so no orphaned trial keeps
    running. The server detects this by a pipe, which stays open while any process holds it. Each
    trial inherits the pipe, so it must close it.
    """
    pipe = getattr(forkserver._forkserver, "_forkserver_alive_fd", None)
    if pipe is not None:
        os.close(pipe)
        vars(forkserver._forkserver)["_forkserver_alive_fd"] = None
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1 is PR_SET_PDEATHSIG


def run_in_child(job: Job, connection: Connection, gpu: str | None = None) -> None:
    """Run a job in this process: print into its log, send events, exit with code 1 on failure.

    `gpu` is the only GPU that it sees. The server has imported torch, but CUDA reads the list of
    visible GPUs at its first use, which is in the trial.
    """
    gpus.restrict_to(gpu)
    with contextlib.suppress(OSError):
        os.setsid()  # own group: processes that the trial forks are killed with it
    for number in PARENT_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the parent ends this process
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENT_SIGNALS)  # the server has blocked them
    end_with_parent()

    def send(event: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            connection.send(event)

    try:
        log_into(job)
        if isinstance(job, StepTimingJob):
            from runner.trial.step_timing import time_training_steps

            time_training_steps(job, send)
        else:
            from runner.trial.compute import compute_stage

            compute_stage(job, send)
    except BaseException as error:
        import traceback

        send({"state": "failed", "message": describe_error(error)})
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def log_into(job: Job) -> None:
    """Redirect the output of this process into the trial's log, or discard it if that fails."""
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
