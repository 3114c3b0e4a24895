"""One trial as its process sees it: folder, lock, tracker and record of an arm under one seed."""

import contextlib
import csv
import json
import math
import os
import platform
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from runner import device, plugins, registry
from runner.config import flatten
from runner.metric_names import Worth, worth
from runner.records import locks, provenance
from runner.records.files import read_json, write_json
from runner.records.forms import exact, inexact, is_pieces
from runner.records.job import Job, Stage
from runner.records.stopwatch import Stopwatch
from runner.records.store import UNTIMED
from runner.records.tracking import METRICS_FILE, Tracker, agrees, read_rows, stamp
from runner.trial import checkpoint
from runner.trial.machine_lock import turn
from runner.trial.training import Stopped
from runner.wording.output import described, shortened

PIECES, SECONDS = "pieces.json", "seconds.json"
TRACEBACK = 20_000  # letters of a traceback that a status keeps
T = TypeVar("T")
Send = Callable[[dict[str, Any]], None]


class Trial:
    """What an experiment's `run(trial)` is given.

    Attributes:
        config: the arm, typed.
        seed: the seed of initialisation and data order (with the arm's offset).
        device: where to compute.
        cache: where prepared data lie.
        checkpoints: the folder of checkpoints.
        diverged: why the trial has diverged, or None.
        notes: what its status tells of a trial that is done.
        passes: in how many passes it has been timed before.
    """

    def __init__(self, job: Job, send: Send, watch: Stopwatch) -> None:
        self.config = job.config
        self.seed = job.seed + job.config.seed_offset
        self.device = device.enter(job.config.device, job.device)
        self.dtype = getattr(torch, job.config.device.dtype.value)
        self.cache = job.cache
        self.checkpoints = job.slot.folder / "checkpoint"
        self.diverged: str | None = None
        self.notes: list[str] = []
        self.stopping = False
        self.deferring = False
        self.from_step = 0
        self.results: dict[str, tuple[float, str]] = {}
        self.passes = 0
        self.samples: dict[str, list[float]] = {}
        self._job, self._send, self._watch = job, send, watch
        self._tracker: Tracker | None = None
        self._tables: dict[str, list[dict[str, Any]]] = {}
        self._step = 0
        torch.manual_seed(self.seed)

    def stop(self, *_: object) -> None:
        """Ask the trial to end (SIGTERM): a training after its step and a checkpoint, else now."""
        self.stopping = True
        if not self.deferring:
            self.deferring = True  # once: what follows brings the records to disk
            raise Stopped("asked to stop")

    def take_over(self, first: Mapping[str, Any]) -> None:
        """Go on from what the first stage has found, and from samples of earlier passes."""
        self.from_step = first["from_step"]
        self.passes = first.get("passes", 0)
        self.samples = first.get("samples", {})
        self.results = {row["metric"]: (row["value"], row["unit"]) for row in first["results"]}
        self.notes = list(first.get("notes", ()))

    def pieces(self, items: Sequence[T]) -> Iterator[T]:
        """Go through measurements one after the other; what each records survives a kill.

        A process that finds finished pieces goes on behind them. Opens the records.
        """
        path = self.checkpoints / PIECES
        kept = self._kept_pieces(path, len(items))
        self.results |= {name: (value, unit) for name, (value, unit) in kept["results"].items()}
        self._tables, self._step = kept["tables"], kept["step"]
        self.resume(kept["step"])
        self.from_step = kept["done"]
        for done, item in enumerate(items[kept["done"] :], kept["done"] + 1):
            yield item
            self.flush()
            state = {"results": self.results, "tables": self._tables, "step": self._step}
            curves = stamp(self._job.slot.folder / METRICS_FILE)
            write_json(path, exact({"done": done, "curves": curves, **state}))
            self.progress(done, len(items), 0.0)

    def _kept_pieces(self, path: Path, most: int) -> dict[str, Any]:
        """What finished pieces have left, where it is whole and their curves are still there."""
        nothing: dict[str, Any] = {"done": 0, "step": 0, "results": {}, "tables": {}}
        if not path.exists():
            return nothing
        with contextlib.suppress(ValueError, TypeError, OverflowError, RecursionError):
            kept = inexact(read_json(path) or {})
            if (
                is_pieces(kept)
                and kept["done"] <= most
                and agrees(self._job.slot.folder / METRICS_FILE, kept["curves"])
            ):
                return kept
        self.note(f"{PIECES} or {METRICS_FILE} was damaged: measured anew from the first piece")
        return nothing

    def resume(self, step: int) -> None:
        """Open the records, going on after `step`; 0 starts them anew."""
        self.from_step = step
        if not step and not self._tables:
            shutil.rmtree(self._job.slot.folder / "tables", ignore_errors=True)
        self._tracker = self._open(step or None)
        self._job.slot.mark(
            "running", pid=os.getpid(), host=platform.node(), code=self._job.code, from_step=step
        )

    def log(self, values: dict[str, float], step: int) -> None:
        """Add values to the curves of this trial."""
        assert self._tracker is not None, "resume() opens the records before the first log()"
        self._tracker.log(values, step)
        self._step = max(self._step, step)

    def record(self, values: dict[str, float], unit: str = "") -> None:
        """Set final values, which become rows of results.csv."""
        self.results |= {name: (float(value), unit) for name, value in values.items()}

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep rows that are no scalars, e.g. an attention matrix, for figures and the report."""
        assert name.isidentifier(), name
        self._tables[name] = [dict(row) for row in rows]
        path = self._job.slot.folder / "tables" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def extend(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to a table."""
        self.table(name, [*self._tables.get(name, ()), *rows])

    def pooled(self, samples: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
        """Keep the samples of what was timed now; return them behind those of earlier passes.

        Names are those of the timed quantities, in seconds a call. Their spread over the trials of
        an arm decides whether the study times its trials again (`runner.study.passes`).
        """
        everything = {name: [*self.samples.get(name, ()), *new] for name, new in samples.items()}
        self.samples |= everything
        return everything

    def progress(self, step: int, steps: int, loss: float) -> None:
        """Tell the parent how far this trial is."""
        self._send({"step": step, "steps": steps, "loss": loss})

    def diverge(self, reason: str) -> None:
        """Mark the trial as diverged; the first reason stands."""
        self.diverged = self.diverged or shortened(reason)

    def note(self, text: str) -> None:
        """Tell something of the trial that its numbers do not, such as a spike."""
        if (text := shortened(text)) not in self.notes:
            self.notes.append(text)

    def clip(self) -> set[str]:
        """Replace each result of a diverged trial by its worth; name those that are clipped.

        A loss that had a value before training and has none at the end is divergence too.
        """
        self.flush()
        first: dict[str, float] = {}
        for _, name, value in read_rows(self._job.slot.folder):
            first.setdefault(name, value)
        metrics = {name: registry.metric(name) for name in self.results}
        for name, (value, _) in self.results.items():
            started = first.get(metrics[name].curve or name, math.nan)
            lost = math.isfinite(started) and not math.isfinite(value)
            if lost and metrics[name].diverged is Worth.start:
                self.diverge(f"{name} is {value} at the end")
        if not self.diverged:
            return set()
        clipped = set()
        for name, (value, unit) in self.results.items():
            counted, stands_in = worth(name, value, metrics[name], first)
            self.results[name] = (counted, unit)
            clipped |= {name} if stands_in else set()
        return clipped

    def flush(self) -> None:
        """Bring the curves to disk, before a checkpoint says that they are there; and the time."""
        if self._tracker:
            self._tracker.flush()
        self._watch.note()

    def close(self, status: Literal["done", "failed"]) -> None:
        """Close the records, with the final values of all stages in the event file."""
        if self._tracker is None and self._job.stage is Stage.timing:
            # Only now, so that no thread of a writer is there while the clock runs.
            self._tracker = self._open(sys.maxsize)
        if self._tracker:
            finals = {name: value for name, (value, _) in self.results.items()}
            self._tracker.close(status, finals)

    def _open(self, last_step: int | None) -> Tracker:
        """Open the records, keeping the curves up to a step; None keeps nothing."""
        hparams = flatten(self._job.config.tree()) | {"arm": self._job.arm, "seed": self._job.seed}
        return Tracker(self._job.slot.folder, hparams, resume_step=last_step)


def compute(job: Job, send: Send) -> None:
    """Compute one stage of a trial, unless another process has meanwhile; failures are raised."""
    slot = job.slot
    slot.folder.mkdir(parents=True, exist_ok=True)
    with (
        lock_of(slot.folder / "lock", send),
        turn(
            timing=job.stage is Stage.timing,
            on_wait=lambda: send(
                {"state": "waiting", "why": "what is timed has the machine alone"}
            ),
            on_failure=lambda why: send(
                {"note": f"trials cannot be kept apart from what is timed on this machine: {why}"}
            ),
        ),
    ):
        send({"state": "computing"})
        again = bool(job.passes) and slot.reopen(job.code, job.passes)
        before = slot.untimed(job.code)
        if (slot.finished(job.code) and not again) or (before and job.stage is Stage.run):
            return
        slot.keep_first_finish()
        if slot.status().get("code") != job.code or slot.read().unusable:
            slot.clear()
        slot.mark("running", pid=os.getpid(), host=platform.node(), code=job.code)
        trial, watch, owner = None, Stopwatch(slot.folder / SECONDS), os.getpid()
        try:
            plugins.load(job.plugins)
            write_json(slot.folder.parent / "arm.json", json.loads(job.signed))
            trial = Trial(job, send, watch)
            signal.signal(signal.SIGTERM, trial.stop)
            if before:
                trial.take_over(before)
            if task := getattr(job.config.parts, "task", None):
                registry.restore(task, job.cache, job.data)
            registry.stage(job.config.experiment, job.stage)(trial)
            if job.stage is Stage.run:
                record_costs(trial)
            leave_if_forked(owner)
            finish(job, trial, watch)
        except BaseException as error:
            leave_if_forked(owner)
            fail(job, send, trial, watch, error)
            raise


def record_costs(trial: Trial) -> None:
    """Record what the arm costs, counted from its options, where it has a task to train on."""
    parts = vars(trial.config.parts)
    if "task" in parts:
        costs = registry.costs(parts)
        counts = {"parameters": costs["params"], "active_parameters": costs["active_params"]}
        trial.record({f"cost/{name}": count for name, count in counts.items()}, "1")
        trial.record({"cost/flops_per_token": costs["flops"]}, "FLOP")


def leave_if_forked(owner: int) -> None:
    """End a process that the trial's process has forked: the records are not its own to write."""
    if os.getpid() != owner:
        os._exit(1)


def fail(job: Job, send: Send, trial: Trial | None, watch: Stopwatch, error: BaseException) -> None:
    """Write why a trial ended without a result. What the disk does not take is left out."""
    with contextlib.suppress(Exception):
        watch.note()
    with contextlib.suppress(Exception):
        if job.slot.restore(job.code):  # the result of the passes before stands
            why = f"timing it once more has failed ({one_line(error)}); earlier times stand"
            send({"note": f"{job.arm} seed {job.seed}: {why}"})
            return
    with contextlib.suppress(Exception):
        if trial:
            trial.close("failed")
    state, details = "failed", {"traceback": shortened(traceback.format_exc(), TRACEBACK)}
    if isinstance(error, Stopped):
        state, details = "killed", {}
    with contextlib.suppress(Exception):  # then the parent hears it alone
        message = one_line(error)
        job.slot.mark(state, pid=os.getpid(), code=job.code, message=message, **details)


@contextlib.contextmanager
def lock_of(path: Path, send: Send) -> Iterator[None]:
    """Hold the lock of a trial; that another process computes it, or that nothing locks, is said.

    Raises OSError where no file can be made.
    """
    with locks.opened(path) as descriptor:
        try:
            locks.lock(
                descriptor,
                alone=True,
                on_wait=lambda: send({"state": "waiting", "why": "another process computes it"}),
            )
        except OSError as error:
            send({"note": f"two commands that compute one trial are not kept apart: {error}"})
        yield


def finish(job: Job, trial: Trial, watch: Stopwatch) -> None:
    """Write the result, then the status that makes it count; too short to be stopped.

    A timed trial that diverged in its first stage is finished without its timings.
    """
    trial.deferring = True
    clipped = trial.clip()
    trial.close("done")
    checkpoint.clear(trial.checkpoints, keep_last=True)
    rows = [
        {"metric": name, "value": value, "unit": unit}
        | ({"clipped": True} if name in clipped else {})
        for name, (value, unit) in trial.results.items()
    ]
    seconds = watch.note()
    record = {
        "arm": job.arm,
        "seed": job.seed,
        "code": job.code,
        "data": job.data,
        "device": job.device.value,
        "machine": provenance.machine(),
        "versions": provenance.versions(),
        "threads": job.config.device.threads,
        "seconds": seconds,
        "from_step": trial.from_step,
        "results": rows,
        "notes": trial.notes,
    }
    timed = registry.timed(job.config.experiment)
    if job.stage is Stage.run and timed and not trial.diverged:
        job.slot.leave(record)
        job.slot.mark(UNTIMED, code=job.code, seconds=seconds)
        return
    if job.stage is Stage.timing:
        record |= {"passes": trial.passes + 1, "samples": trial.samples}
    job.slot.record(record)
    job.slot.keep_first_finish(provenance.instant())
    state = "diverged" if trial.diverged else "done"
    message = trial.diverged or "; ".join(trial.notes)
    job.slot.mark(state, code=job.code, seconds=seconds, message=message)


def one_line(error: BaseException) -> str:
    """The kind and first line of an error; of a wish to stop its text alone."""
    return shortened(error) if isinstance(error, Stopped) else described(error)
