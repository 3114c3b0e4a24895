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

GRACE, SOON = 60.0, 1.0
"""Seconds that processes have to end when asked, and after which it is said that they take long."""

SERVER_GONE = 255
"""The exit code of a process whose server was killed. It may still live: only the server would know
how it ended. `terminate`, `kill` and `is_alive` of multiprocessing take it for dead."""


def stop(processes: Sequence["BaseProcess"]) -> None:
    """End processes: ask first, so that trials end their step and write a checkpoint, then force.

    They have `GRACE` seconds together. Ctrl-C meanwhile ends them at once.

    Raises:
        KeyboardInterrupt: there was one meanwhile; all have ended.
    """
    processes = [process for process in processes if process.pid is not None]
    if not processes:
        return
    with interrupts.held() as interrupted:  # nothing can come between asking and forcing
        for process in processes:
            ask(process)
        if not ended(processes, SOON, interrupted) and not interrupted():
            print(  # noqa: T201
                f"waiting up to {GRACE:.0f} s for checkpoints; Ctrl-C ends at once",
                file=sys.stderr,
                flush=True,
            )
            ended(processes, GRACE - SOON, interrupted)
        for process in processes:
            end_group(process)
        for process in processes:
            process.join()


def ended(
    processes: Sequence["BaseProcess"], seconds: float, interrupted: Callable[[], bool]
) -> bool:
    """Wait for processes to end, in short waits, so that an interrupt is heard; whether all did."""
    deadline = time.monotonic() + seconds
    while living := [process for process in processes if alive(process)]:
        if interrupted() or time.monotonic() >= deadline:
            return False
        if living[0].is_alive():
            living[0].join(0.1)
        else:  # it cannot be waited for
            time.sleep(0.1)
    return True


def alive(process: "BaseProcess") -> bool:
    """Whether a process lives; one whose server was killed is looked for by its number."""
    return process.is_alive() or (process.exitcode == SERVER_GONE and lives(process.pid))


def ask(process: "BaseProcess") -> None:
    """Ask a process to end (SIGTERM)."""
    process.terminate()
    signal_orphan(process, signal.SIGTERM)


def signal_orphan(process: "BaseProcess", number: int) -> None:
    """Send a signal to a process whose server was killed; nothing to any other."""
    if process.pid is not None and not process.is_alive() and alive(process):
        with contextlib.suppress(OSError):
            os.kill(process.pid, number)


def lives(pid: int | None) -> bool:
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


def end_group(process: "BaseProcess") -> None:
    """Kill a process and what it has forked: its process group, which has its number."""
    process.kill()
    signal_orphan(process, signal.SIGKILL)
    if process.pid is not None and hasattr(os, "killpg"):
        with contextlib.suppress(OSError):  # it is gone, or has never had a group
            os.killpg(process.pid, signal.SIGKILL)
