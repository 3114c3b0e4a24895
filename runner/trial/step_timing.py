"""Time the first training steps of a trial under the exclusive lock of the machine.

The page's own `run` trains the model again, with the trial's seed and settings, until enough steps
are timed. It works in a temporary folder, so that the trial's records stay as they are.
"""

import contextlib
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from runner import plugins
from runner.records import provenance
from runner.records.step_times import (
    StepTimes,
    StepTimingJob,
    read_step_times,
    write_step_times,
)
from runner.records.stopwatch import Stopwatch
from runner.records.store import LOCK, SECONDS, Slot
from runner.trial import science
from runner.trial.compute import lock_trial
from runner.trial.machine_lock import lock_machine
from runner.trial.machine_users import announce_use, describe_wait, is_disturbed
from runner.trial.trial import SendEvent, Trial

T = TypeVar("T")
NEVER = 2**31  # more steps than any training has


class StepTimingError(Exception):
    """The reason why the steps of a trial could not be timed."""


class StepsTimed(BaseException):
    """The signal that enough steps are timed; it ends the page's `run`."""


class StepClock(Trial):
    """A trial that measures the seconds of its first training steps, then ends.

    A step's time covers its batch, its forward and backward pass, its update, and probes of every
    step. Evaluations and the log are left out.
    """

    def __init__(self, job: StepTimingJob, watch: Stopwatch) -> None:
        super().__init__(job, lambda _: None, watch)
        self.step_seconds: list[float] = []
        self._timing_job, self._last_time = job, time.perf_counter()

    def log(self, values: dict[str, float], step: int) -> None:
        """Let the values of a training step end its time; write nothing, as a thread would."""
        now = time.perf_counter()
        if "train/loss" in values and step > self._timing_job.n_warmup:
            self.step_seconds.append(now - self._last_time)
        self._last_time = time.perf_counter()

    def progress(self, step: int, steps: int, loss: float) -> None:  # noqa: ARG002
        """End the training after the last step to time.

        Raises:
            StepsTimed: enough steps are timed, or the training ends here.
        """
        if len(self.step_seconds) >= self._timing_job.n_steps or step >= steps:
            raise StepsTimed

    def open_log(self, step: int) -> None:
        """Set the step to begin after, without curves."""
        self.from_step = step

    def resumable_loop(self, items: Sequence[T]) -> Iterator[T]:
        """Yield the items to measure; save nothing."""
        yield from items

    def flush(self) -> None:
        """Write nothing: there are no curves."""


def time_training_steps(job: StepTimingJob, send: SendEvent) -> None:
    """Add a timing pass to the step times of a trial, unless another process has added it.

    Raises:
        StepTimingError: the page trains nothing, or a smoke run disturbed the timing.
    """
    machine, is_smoke = provenance.machine(), job.scale == "smoke"
    with (
        lock_trial(job.slot.folder / LOCK, send),
        announce_use(job) as mark_computing,
        lock_machine(
            exclusive=not is_smoke,
            waits=not is_smoke,
            on_wait=lambda: send({"state": "waiting", "why": describe_wait(job)}),
            on_failure=lambda why: send(
                {"note": f"other trials may disturb step times: the machine has no lock ({why})"}
            ),
        ) as disturbs,
    ):
        mark_computing(disturbs)
        send({"state": "computing"})
        earlier = read_step_times(job.slot, job.code, machine)
        if earlier is not None and earlier.passes > job.passes:
            return
        seconds = measure_steps(job)
        if is_disturbed():
            raise StepTimingError("a smoke run computed at the same time")
        if not seconds:
            raise StepTimingError(f"it has no training step after {job.n_warmup} steps of warm-up")
        samples = (*(earlier.samples if earlier else ()), *seconds)
        passes = (earlier.passes if earlier else 0) + 1
        write_step_times(job.slot, job.code, machine, StepTimes(samples, passes))


def measure_steps(job: StepTimingJob) -> list[float]:
    """Return the seconds of the first training steps of a trial, computed in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="ablab-steps-", ignore_cleanup_errors=True) as name:
        scratch = Slot(Path(name) / "arm" / f"seed-{job.seed}")
        scratch.folder.mkdir(parents=True)
        training = replace(
            job.config.training, log_every=1, eval_every=NEVER, checkpoint_every=NEVER
        )
        config = replace(job.config, training=training)
        plugins.import_plugins(job.plugins)
        clock = StepClock(
            replace(job, slot=scratch, config=config), Stopwatch(scratch.folder / SECONDS)
        )
        signal.signal(signal.SIGTERM, clock.request_stop)
        if task := getattr(config.parts, "task", None):
            science.restore_data(task, job.cache, job.data)
        with contextlib.suppress(StepsTimed):
            science.stage(config.experiment, "run")(clock)
        return clock.step_seconds
