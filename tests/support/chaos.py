"""Trials of moe that compute nothing and may fail in every possible way; see `chaos_plugin`.

Trial `dense` seed k has the k-th fault of `FAULTS` while the file `outputs/faults` exists. Each
trial that is computed adds a line to `outputs/computed`.
"""

import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HUGE = "x" * 100_000


def fail(message: str) -> Callable[[Any], None]:
    def fault(trial: Any) -> None:  # noqa: ARG001
        raise RuntimeError(message)

    return fault


def exits(code: int) -> Callable[[Any], None]:
    return lambda _: sys.exit(code)


def vanishes(code: int) -> Callable[[Any], None]:
    return lambda _: os._exit(code)


def kills(number: int) -> Callable[[Any], None]:
    def fault(trial: Any) -> None:  # noqa: ARG001
        os.kill(os.getpid(), number)
        time.sleep(60)

    return fault


def recursion(trial: Any) -> None:
    recursion(trial)


def no_memory(trial: Any) -> None:  # noqa: ARG001
    resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
    assert bytearray(2**40)


def interrupt(trial: Any) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


def hang(trial: Any) -> None:  # noqa: ARG001
    time.sleep(600)


def hang_deaf(trial: Any) -> None:
    """Hang and ignore requests to stop."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang(trial)


def full_disk(trial: Any) -> None:
    """Make all writing fail, the status included."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    compute(trial)


def orphan(trial: Any) -> None:
    """Die while a forked process stays alive and holds all inherited files."""
    if not (child := os.fork()):
        time.sleep(600)
    (trial.cache.parent / "orphan").write_text(str(child))
    os.kill(os.getpid(), signal.SIGKILL)


def torn_status(trial: Any) -> None:
    """Write garbage into the status, and exit with code 0."""
    compute(trial)
    (trial.checkpoints.parent / "status.json").write_bytes(b"\xff{garbage\n,,\n")
    os._exit(0)


def folder_gone(trial: Any) -> None:
    """Delete all records."""
    compute(trial)
    shutil.rmtree(trial.checkpoints.parent)


# Each fault, the state that it leaves, and the text that its message must contain.
FAULTS: dict[str, tuple[Callable[[Any], None], str, str]] = {
    "raise": (fail("a planted fault"), "failed", "RuntimeError: a planted fault"),
    "surrogate": (fail("caf\udce9"), "failed", "RuntimeError: caf\\udce9"),
    "long message": (fail(HUGE), "failed", "RuntimeError: xxxx"),
    "exit 0": (exits(0), "failed", "SystemExit: the code called sys.exit"),
    "exit 3": (exits(3), "failed", "SystemExit: the code called sys.exit(3)"),
    "_exit 0": (vanishes(0), "failed", "its process ended with exit code 0 and left no result"),
    "_exit 7": (vanishes(7), "failed", "its process ended with exit code 7 and left no result"),
    "SIGKILL": (kills(signal.SIGKILL), "killed", "signal SIGKILL"),
    "SIGSEGV": (kills(signal.SIGSEGV), "killed", "signal SIGSEGV"),
    "SIGTERM": (kills(signal.SIGTERM), "killed", "stopped on request"),
    "memory": (no_memory, "failed", "MemoryError"),
    "recursion": (recursion, "failed", "RecursionError: maximum recursion depth exceeded"),
    "interrupt": (interrupt, "failed", "KeyboardInterrupt"),
    "disk": (full_disk, "failed", "OSError: [Errno 27] File too large"),
    "orphan": (orphan, "killed", "signal SIGKILL"),
    "folder gone": (folder_gone, "failed", "FileNotFoundError"),
    "torn status": (torn_status, "failed", "status.json cannot be read"),
    "hang": (hang, "killed", "took longer than timeout_s=5; stopped on request"),
    "deaf": (hang_deaf, "killed", "took longer than timeout_s=5; its process ended with signal"),
}


def compute(trial: Any) -> None:
    """Do the work of a trial without a fault."""
    trial.open_log(0)
    trial.log({"val/loss": 1.0 + trial.seed / 1000}, 0)
    trial.record({"val/loss": 1.0 + trial.seed / 1000}, "mse")


def stage(experiment: str, name: str) -> Callable[[Any], None]:  # noqa: ARG001
    """Compute the trial, or its planted fault."""
    return run


def run(trial: Any) -> None:
    outputs: Path = trial.cache.parent
    arm = trial.checkpoints.parent.parent.name
    with (outputs / "computed").open("a") as file:
        file.write(f"{arm} {trial.seed}\n")
    faults = list(FAULTS.values()) if (outputs / "faults").exists() else []
    if arm == "dense" and trial.seed < len(faults):
        faults[trial.seed][0](trial)
    else:
        compute(trial)
