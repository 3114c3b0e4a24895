"""Sweeps of small trainings as commands, and the processes that compute their trials."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.counting_plugin import COMPLETED
from tests.support.environment import child_environment
from tests.support.outcomes import events, results, states, tables, weights
from tests.support.tiny import TINY

PATIENCE = 1500.0
STUDY = (
    *(text for text in TINY if not text.startswith("training.")),
    *("training.steps=300", "training.eval_every=100", "training.checkpoint_every=20"),
    *("workers=1", "plugins=[counting_plugin]"),
)


def start(folder: Path, *words: str, environment: dict[str, str] | None = None) -> Any:
    """Start the command in a folder, with its output in a file named after the launcher."""
    name = next((w.rpartition("=")[2] for w in words if w.startswith("hydra/launcher")), "here")
    with (folder / f"{name}.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "runner", *words],
            cwd=folder,
            env={**child_environment(), **(environment or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def finish(process: Any) -> None:
    """Wait for a command, and stop it in order if it takes too long or the test has failed."""
    try:
        code = process.wait(PATIENCE)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    assert code == 0


def run(folder: Path, *words: str, environment: dict[str, str] | None = None) -> str:
    """Run the command in a folder to its end; return its output."""
    finish(start(folder, *words, environment=environment))
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
    return logs[-1].read_text()


def trials(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what each trial of a store must have in common with the serial run, bit for bit."""
    paths = sorted(folder.glob("outputs/moe/trials/*/seed-*"))
    parts = (results, events, states, weights, tables)
    return {
        f"{path.parent.name}/{path.name}": {part.__name__: part(path) for part in parts}
        for path in paths
    }


def completions(folder: Path) -> Counter[str]:
    """Return how often each trial was computed to its end."""
    return Counter((folder / "outputs" / COMPLETED).read_text().split())


def parent(pid: int) -> int:
    """Return the process id of a process's parent; 0 if it has ended."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    return 0


def ancestors(pid: int) -> Iterator[int]:
    """Yield the parent of a process, its parent, and so on."""
    while (pid := parent(pid)) > 1:
        yield pid


def command_line(pid: int) -> str:
    """Return the words of a process's command, or "" if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def job_in_training(folder: Path, words: str, processes: Sequence[Any]) -> int:
    """Wait for a trial that has a checkpoint; return the process of its job.

    `words` are a part of the command of that process.
    """
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert any(process.poll() is None for process in processes), "the commands have ended"
        for path in folder.glob("outputs/moe/trials/*/seed-*/status.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                status = json.loads(path.read_text())
                if status["state"] != "running" or not any(path.parent.glob("checkpoint/step-*")):
                    continue
                for pid in ancestors(status["pid"]):
                    if words in command_line(pid):
                        return pid
        time.sleep(0.05)
    raise AssertionError(f"no trial of {words} was seen with a checkpoint")


def kill(pid: int, number: int) -> None:
    """Send a signal to a process."""
    os.kill(pid, number)
