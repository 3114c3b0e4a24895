"""End processes of trials, and the processes that they forked. Imports no torch."""

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
"""Seconds that processes have to end after SIGTERM, and seconds until a line says so."""

SERVER_KILLED_EXIT_CODE = 255
"""The exit code that multiprocessing reports if the server of a process was killed.

The process may still live: only its server would know how it ended. `terminate`, `kill` and
`is_alive` of multiprocessing take it for dead."""


def stop_processes(processes: Sequence["BaseProcess"]) -> None:
    """End processes: send SIGTERM, wait up to `GRACE_SECONDS`, then kill.

    After SIGTERM a trial ends its step and writes a checkpoint. Ctrl-C ends the wait at once.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM came in the meantime; all processes have ended.
    """
    processes = [process for process in processes if process.pid is not None]
    if not processes:
        return
    # No signal may come between SIGTERM and the kill.
    with interrupts.defer_interrupts() as interrupted:
        for process in processes:
            send_sigterm(process)
        if not wait_until_ended(processes, NOTICE_SECONDS, interrupted) and not interrupted():
            print(  # noqa: T201
                f"waiting up to {GRACE_SECONDS:.0f} s for checkpoints; Ctrl-C ends at once",
                file=sys.stderr,
                flush=True,
            )
            wait_until_ended(processes, GRACE_SECONDS - NOTICE_SECONDS, interrupted)
        for process in processes:
            kill_process_group(process)
        for process in processes:
            process.join()


def wait_until_ended(
    processes: Sequence["BaseProcess"], seconds: float, interrupted: Callable[[], bool]
) -> bool:
    """Wait for processes to end, at most `seconds`; return whether all have ended.

    Each wait is short, so that an interrupt ends the loop soon.
    """
    deadline = time.monotonic() + seconds
    while living := [process for process in processes if is_process_alive(process)]:
        if interrupted() or time.monotonic() >= deadline:
            return False
        if living[0].is_alive():
            living[0].join(0.1)
        else:  # its server was killed, so join() does not wait
            time.sleep(0.1)
    return True


def is_process_alive(process: "BaseProcess") -> bool:
    """Return whether a process lives; if its server was killed, look for its process id."""
    return process.is_alive() or (
        process.exitcode == SERVER_KILLED_EXIT_CODE and pid_exists(process.pid)
    )


def send_sigterm(process: "BaseProcess") -> None:
    """Ask a process to end, also if its server was killed."""
    process.terminate()
    signal_orphan(process, signal.SIGTERM)


def signal_orphan(process: "BaseProcess", number: int) -> None:
    """Send a signal to a process if its server was killed; multiprocessing reaches the others."""
    if process.pid is not None and not process.is_alive() and is_process_alive(process):
        with contextlib.suppress(OSError):
            os.kill(process.pid, number)


def pid_exists(pid: int | None) -> bool:
    """Return whether a process of this id exists; a zombie does not count."""
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
    except OSError:  # not Linux
        return True


def kill_process_group(process: "BaseProcess") -> None:
    """Kill a process and the processes that it forked: the group of its process id."""
    process.kill()
    signal_orphan(process, signal.SIGKILL)
    if process.pid is not None and hasattr(os, "killpg"):
        with contextlib.suppress(OSError):  # it has ended, or never had a group
            os.killpg(process.pid, signal.SIGKILL)
