"""How processes of trials are ended, with all that they have forked. Imports no torch."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from runner import interrupts

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

GRACE, SOON = 60.0, 1.0
"""Seconds that processes have to end when asked, and after which it is said that they take long."""


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
            process.terminate()
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
    while any(process.is_alive() for process in processes):
        if interrupted() or time.monotonic() >= deadline:
            return False
        next(process for process in processes if process.is_alive()).join(0.1)
    return True


def end_group(process: "BaseProcess") -> None:
    """Kill a process and what it has forked: its process group, which has its number."""
    process.kill()
    if process.pid is not None and hasattr(os, "killpg"):
        with contextlib.suppress(OSError):  # it is gone, or has never had a group
            os.killpg(process.pid, signal.SIGKILL)
