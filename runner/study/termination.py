"""How processes of trials are ended, with all that they have forked. Imports no torch."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.study import interrupts

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

GRACE_SECONDS, NOTICE_SECONDS = 60.0, 1.0
"""Seconds that processes have to end when asked, and after which it is said that they take long."""

SERVER_KILLED_EXIT_CODE = 255
"""The exit code of a process whose server was killed. It may still live: only the server would know
how it ended. `terminate`, `kill` and `is_alive` of multiprocessing take it for dead."""


def stop_processes(processes: Sequence["BaseProcess"]) -> None:
    """End processes: ask first, so that trials end their step and write a checkpoint, then force.

    They have `GRACE_SECONDS` seconds together. Ctrl-C meanwhile ends them at once.

    Raises:
        KeyboardInterrupt: there was one meanwhile; all have ended.
    """
    processes = [process for process in processes if process.pid is not None]
    if not processes:
        return
    with (
        interrupts.defer_interrupts() as interrupted
    ):  # nothing can come between asking and forcing
        for process in processes:
            send_sigterm(process)
        if not ended(processes, NOTICE_SECONDS, interrupted) and not interrupted():
            print(  # noqa: T201
                f"waiting up to {GRACE_SECONDS:.0f} s for checkpoints; Ctrl-C ends at once",
                file=sys.stderr,
                flush=True,
            )
            ended(processes, GRACE_SECONDS - NOTICE_SECONDS, interrupted)
        for process in processes:
            kill_process_group(process)
        for process in processes:
            process.join()


def ended(
    processes: Sequence["BaseProcess"], seconds: float, interrupted: Callable[[], bool]
) -> bool:
    """Wait for processes to end, in short waits, so that an interrupt is heard; whether all did."""
    deadline = time.monotonic() + seconds
    while living := [process for process in processes if is_process_alive(process)]:
        if interrupted() or time.monotonic() >= deadline:
            return False
        if living[0].is_alive():
            living[0].join(0.1)
        else:  # it cannot be waited for
            time.sleep(0.1)
    return True


def is_process_alive(process: "BaseProcess") -> bool:
    """Whether a process lives; one whose server was killed is looked for by its number."""
    return process.is_alive() or (
        process.exitcode == SERVER_KILLED_EXIT_CODE and pid_exists(process.pid)
    )


def send_sigterm(process: "BaseProcess") -> None:
    """Ask a process to end (SIGTERM)."""
    process.terminate()
    signal_orphan(process, signal.SIGTERM)


def signal_orphan(process: "BaseProcess", number: int) -> None:
    """Send a signal to a process whose server was killed; nothing to any other."""
    if process.pid is not None and not process.is_alive() and is_process_alive(process):
        with contextlib.suppress(OSError):
            os.kill(process.pid, number)


def pid_exists(pid: int | None) -> bool:
    """Whether there is a process of this number; one that only waits to be buried is none."""
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no Linux
        return True


def kill_process_group(process: "BaseProcess") -> None:
    """Kill a process and what it has forked: its process group, which has its number."""
    process.kill()
    signal_orphan(process, signal.SIGKILL)
    if process.pid is not None and hasattr(os, "killpg"):
        with contextlib.suppress(OSError):  # it is gone, or has never had a group
            os.killpg(process.pid, signal.SIGKILL)
