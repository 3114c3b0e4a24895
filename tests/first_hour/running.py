"""Run one step: a command to its exit code, or a server until it answers."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.first_hour.environment import Environment
from tests.first_hour.readme import Step, text_patterns, with_scale, without_comment

TAIL_LINES = 25
GRACE = 30.0  # seconds in which a stopped command may save its checkpoints
ADDRESS = re.compile(r"https?://[\w.\-]+:\d+/")


@dataclass(frozen=True)
class StepResult:
    """A step's result. `code` is None if time ran out; `note` says what the reader must know."""

    number: int
    line: int
    kind: str
    text: str
    passed: bool
    code: int | None
    seconds: float
    note: str
    tail: list[str]

    def as_json(self) -> dict[str, object]:
        """Return the result as an object of the JSON report."""
        return {**asdict(self), "seconds": round(self.seconds, 1)}


def run_step(
    environment: Environment, step: Step, *, number: int, scale: str, timeout: float
) -> StepResult:
    """Run a step in the clone; its whole output is in `logs/` of the environment's folder."""
    began = time.monotonic()
    log = environment.folder / "logs" / f"{number:02d}.txt"
    text = with_scale(step.text, scale) if scale and step.kind == "command" else step.text
    notes = [f"ran as: {without_comment(text)}"] if text != step.text else []
    code: int | None = 0
    passed = True
    if step.kind == "file":
        path = environment.clone / step.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text, encoding="utf-8")
        log.write_text(f"{step.path}: {len(step.text)} characters\n", encoding="utf-8")
    elif step.kind == "server":
        answer = run_server(environment, text, log, timeout)
        passed, notes = not answer.startswith("no answer"), [*notes, answer]
    else:
        for pattern in text_patterns(text):
            paths = environment.write_texts(pattern)
            size = sum(path.stat().st_size for path in paths)
            notes.append(f"wrote {len(paths)} text files for {pattern}: {size:,} bytes")
        code = run_command(environment, text, log, timeout)
        passed = code == 0
        if code is None:
            notes.append(f"no end after {timeout:.0f} s")
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    seconds, note = time.monotonic() - began, "; ".join(notes)
    return StepResult(number, step.line, step.kind, step.text, passed, code, seconds, note, tail)


def run_command(environment: Environment, text: str, log: Path, timeout: float) -> int | None:
    """Run a command; return its exit code, or None if it was stopped after `timeout` seconds."""
    with started(environment, text, log) as process:
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None


def run_server(environment: Environment, text: str, log: Path, timeout: float) -> str:
    """Start TensorBoard at its default port or the next free one, and ask it for its runs."""
    deadline = time.monotonic() + timeout
    with started(environment, text, log) as process:
        while time.monotonic() < deadline and process.poll() is None:
            address = ADDRESS.search(log.read_text(encoding="utf-8", errors="replace"))
            if address and (runs := ask(f"{address[0]}data/runs")):
                return f"{address[0]}data/runs has {len(runs)} runs, such as {runs[0]}"
            time.sleep(0.5)
        if process.poll() is not None:
            return f"no answer: the server ended with exit code {process.returncode}"
    return f"no answer with a run after {timeout:.0f} s"


def ask(address: str) -> list[str]:
    """Return the list that a server answers, or an empty one while it does not."""
    local = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with local.open(address, timeout=10) as answer:
            return list(json.load(answer))
    except (urllib.error.URLError, OSError, ValueError):
        return []


@contextmanager
def started(environment: Environment, text: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a line of a shell in a process group of its own, and end the group at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", text],
            cwd=environment.clone,
            env=environment.variables(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End all processes of a group: politely at first, so that a study saves its state."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        if wait_until(lambda: not group_lives(process), GRACE):
            return


def group_lives(process: subprocess.Popen[bytes]) -> bool:
    """Return whether any process of a group lives; the first one is collected if it does not."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition, at most some seconds; return whether it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
