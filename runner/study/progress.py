"""The display of running trials: live bars in a terminal, plain lines in a pipe.

In a pipe each trial that ends has a line. A line that names the running trials follows after ten
seconds without another one.
"""

import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from runner.records.job import Stage
from runner.records.store import NOT_TIMED_AGAIN, TIMED_AGAIN, UNTIMED
from runner.study.heartbeat import Heartbeat
from runner.study.time_left import TimeLeft
from runner.wording.durations import format_estimate
from runner.wording.names import format_count
from runner.wording.output import escape_unprintable, join_names, truncate_middle

N_LISTED = 3  # running trials that a line names
ESTIMATE_SECONDS = 0.5  # between two estimates of the time left while trials report steps
_TIMED_BEFORE = (TIMED_AGAIN, NOT_TIMED_AGAIN)
STARTING = "the first trials are starting"
TIMED_AGAIN_NOW = "trials are timed again"


class Progress:
    """The display of a study's trials, as a context manager.

    `total` counts all trials, `reused` those with a result; `name` in methods is "<arm> seed <n>".
    `opening` are the lines to print first.
    """

    def __init__(
        self,
        experiment: str,
        *,
        total: int,
        reused: int,
        time_left: TimeLeft | None = None,
        opening: tuple[str, ...] = (),
    ) -> None:
        self.total, self.ended = total, reused
        self._experiment, self._time_left, self._opening = experiment, time_left, opening
        self._live: Any = None
        self._tasks: dict[str, Any] = {}
        self._notes: set[str] = set()
        self._reused, self._untimed, self._estimate_time = reused, 0, 0.0
        # The state of each running trial, for the line that a thread prints.
        self._states: dict[str, str] = {}
        self._stages: dict[str, Stage] = {}
        self._lock = threading.RLock()
        self._heartbeat = Heartbeat(self.describe, self._print)

    def __enter__(self) -> "Progress":
        for line in self._opening:
            self._print(line)
        if self._reused >= self.total:
            return self
        if sys.stdout is not None and sys.stdout.isatty():
            self._start_bars()
        else:
            self._heartbeat.__enter__()
        return self

    def _start_bars(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
        )
        self._live = Bars(*columns)
        self._live.start()
        self._all = self._live.add_task(
            "all trials", total=self.total, completed=self.ended, note=self.describe_time_left()
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
        elif self._reused < self.total:
            self._heartbeat.__exit__(kind, error, trace)

    def start(self, name: str, stage: Stage) -> None:
        """Show that the process of a trial's stage has started."""
        with self._lock:
            self._stages[name], self._states[name] = stage, "starts"
        if self._live:
            self._tasks[name] = self._live.add_task(f"{name} {stage}", total=None, note="")
            self._live.update(self._all, note=self.describe_time_left())

    def compute(self, name: str) -> None:
        """Show that a trial has its locks and computes."""
        with self._lock:
            self._states[name] = "is timed" if self._stages.get(name) is Stage.timing else "starts"
            if self._time_left and name in self._stages:
                self._time_left.begin(name, self._stages[name])

    def show_waiting(self, name: str, why: str) -> None:
        """Print why a trial waits, once for all trials that wait for the same reason."""
        with self._lock:
            self._states[name] = "waits"
        if why not in self._notes:
            self._notes.add(why)
            self._print(f"waiting: {why} ({name})")

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
        self._heartbeat.touch()
        if self._live:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            print(line, flush=True)  # noqa: T201

    def step(self, name: str, step: int, steps: int, loss: float, from_step: int = 0) -> None:
        """Show that a trial has reached `step` of `steps`, with its latest training loss.

        `from_step` is the step that it resumed from.
        """
        with self._lock:
            # A trial that trains nothing reports a loss of 0.
            self._states[name] = f"step {step}/{steps}" + (f" loss {loss:.4g}" if loss else "")
            if self._time_left and name in self._stages:
                share, start_share = step / max(1, steps), from_step / max(1, steps)
                self._time_left.advance(name, self._stages[name], share, start_share)
        if self._live:
            self._live.update(
                self._tasks[name],
                completed=step,
                total=steps,
                note=f"loss {loss:.4g}" if loss else "",
            )
            if time.monotonic() - self._estimate_time > ESTIMATE_SECONDS:
                self._estimate_time = time.monotonic()
                self._live.update(self._all, note=self.describe_time_left())

    def end(self, name: str, state: str, seconds: float | None, message: str) -> None:
        """Show that a trial's process has ended, with the state and message of its status."""
        with self._lock:
            self.ended += state not in (UNTIMED, TIMED_AGAIN, NOT_TIMED_AGAIN)
            self._states.pop(name, None)
            self._untimed += state == UNTIMED
            stage = self._stages.pop(name, None)
            if stage is Stage.timing and self._untimed and state not in _TIMED_BEFORE:
                self._untimed -= 1
            if self._time_left and stage is not None:
                # A timed trial that has diverged is not timed.
                succeeded, timed = state not in ("failed", "killed"), state == UNTIMED
                self._time_left.end(name, stage, succeeded=succeeded, timing_follows=timed)
            left = self.describe_time_left()
        took = f" in {seconds:.1f} s" if seconds is not None else ""
        state_word = "computed" if state == UNTIMED else state
        more = ", to be timed" if state == UNTIMED else ""
        line = f"[{self.ended}/{self.total}] {name}: {state_word}{took}{more}" + (
            f" ({truncate_middle(message)})" if message else ""
        )
        if self._live:
            if name in self._tasks:  # missing if its process could not be started
                self._live.remove_task(self._tasks.pop(name))
            self._live.update(self._all, completed=self.ended, note=left)
            if state not in ("done", UNTIMED, TIMED_AGAIN):
                self._print(line)
        else:
            self._print(f"{line}; {left}" if left and self.ended < self.total else line)

    def describe_time_left(self) -> str:
        """Return the time until all trials have ended: `about 3 min left`; "" if unknown.

        The time of further timing passes is unknown, because their number depends on the noise.
        """
        with self._lock:
            if self._time_left is None:
                return ""
            seconds = self._time_left.seconds()
            if seconds is None:
                is_again = not self._time_left.pieces and Stage.timing in self._stages.values()
                return TIMED_AGAIN_NOW if is_again else ""
            more = ", plus the timings" if self._time_left.unknown_timings() else ""
            return f"{format_estimate(seconds)} left{more}"

    def describe(self) -> str:
        """Return a line on the study: trials that have ended, time left, running trials."""
        with self._lock:
            counts = f"{self.ended} of {format_count(self.total, 'trial')}"
            if self._untimed:
                counts += f" ({self._untimed} more to be timed)"
            left = self.describe_time_left()
            waiting = [name for name, state in self._states.items() if state == "waits"]
            running = [f"{n} {state}" for n, state in self._states.items() if state != "waits"]
        clauses = [join_names(running, N_LISTED)] if running else []
        if waiting:
            verb = "waits" if len(waiting) == 1 else "wait"
            clauses.append(f"{format_count(len(waiting), 'trial')} {verb}")
        head = f"{self._experiment}: {counts}{left and f', {left}'}"
        return f"{head}; {', '.join(clauses) or STARTING}"
