"""The display of running trials: live bars in a terminal, a plain line per trial in a pipe."""

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from runner.records.store import NOT_TIMED_AGAIN, TIMED_AGAIN, UNTIMED
from runner.wording.output import escape_unprintable, truncate_middle


class Progress:
    """The display of a study's trials, as a context manager.

    `total` counts all trials, `reused` those with a result; `name` in methods is "<arm> seed <n>".
    """

    def __init__(self, experiment: str, *, total: int, reused: int) -> None:
        self.total, self.ended = total, reused
        self._experiment, self._began = experiment, time.monotonic()
        self._live: Any = None
        self._tasks: dict[str, Any] = {}
        self._notes: set[str] = set()
        self._reused = reused

    def __enter__(self) -> "Progress":
        due = self.total - self._reused
        counts = f"{self.total} trials, {self._reused} reused, {due} to compute"
        print(f"{self._experiment}: {counts}", flush=True)  # noqa: T201
        if sys.stdout is not None and sys.stdout.isatty() and self._reused < self.total:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bars

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
            )
            self._live = Bars(*columns)
            self._live.start()
            self._all = self._live.add_task(
                "all trials", total=self.total, completed=self.ended, note=""
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def start(self, name: str, stage: str) -> None:
        """Show that the process of a trial's stage has started."""
        if self._live:
            self._tasks[name] = self._live.add_task(f"{name} {stage}", total=None, note="")

    def show_waiting(self, name: str, why: str) -> None:
        """Print that a trial waits, and why."""
        self._print(f"{name}: waiting: {why}")

    def show_silence(self, name: str, seconds: float, log: Path) -> None:
        """Print that a trial has sent no event for a long time."""
        self._print(
            f"{name}: no progress for {seconds / 60:.0f} min; its log is {log}; "
            "timeout_s=600, for example, would end a trial after 600 seconds of computing"
        )

    def note(self, text: str) -> None:
        """Print a note once, however many trials report it."""
        if text not in self._notes:
            self._notes.add(text)
            self._print(f"note: {text}")

    def _print(self, line: str) -> None:
        line = escape_unprintable(line)
        if self._live:
            self._live.console.print(line, markup=False)
        else:
            print(line, flush=True)  # noqa: T201

    def step(self, name: str, step: int, steps: int, loss: float) -> None:
        """Show that a trial has reached `step` of `steps`, with its latest training loss."""
        if self._live:
            self._live.update(
                self._tasks[name], completed=step, total=steps, note=f"loss {loss:.4g}"
            )

    def end(self, name: str, state: str, seconds: float | None, message: str) -> None:
        """Show that a trial's process has ended, with the state and message of its status."""
        self.ended += state not in (UNTIMED, TIMED_AGAIN, NOT_TIMED_AGAIN)
        took = f" in {seconds:.1f} s" if seconds is not None else ""
        line = f"[{self.ended}/{self.total}] {name}: {state}{took}" + (
            f" ({truncate_middle(message)})" if message else ""
        )
        if self._live:
            if name in self._tasks:  # missing if its process could not be started
                self._live.remove_task(self._tasks.pop(name))
            self._live.update(self._all, completed=self.ended)
            if state not in ("done", UNTIMED, TIMED_AGAIN):
                self._live.console.print(line, markup=False)
        else:
            print(line, flush=True)  # noqa: T201
