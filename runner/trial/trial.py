"""A trial in its own process: the object that an experiment's `run(trial)` receives."""

import contextlib
import csv
import math
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from runner import device
from runner.config import flatten
from runner.metric_names import DivergedValue, value_if_diverged
from runner.records.files import read_json, write_json
from runner.records.job import Job, Stage
from runner.records.schemas import decode_non_finite, encode_non_finite, is_pieces
from runner.records.stopwatch import Stopwatch
from runner.records.store import CHECKPOINTS, CURVES, TABLES
from runner.records.tracking import Tracker, curves_fingerprint, curves_match, read_curves
from runner.trial import science
from runner.trial.training import TrialStopped
from runner.wording.output import truncate_middle

PIECES = "pieces.json"
T = TypeVar("T")
SendEvent = Callable[[dict[str, Any]], None]


class Trial:
    """One arm under one seed: its settings, its device, and methods to log and record.

    Attributes:
        config: the arm's typed config.
        seed: the seed of initialisation and data order, with the arm's `seed_offset`.
        device: the torch device to compute on.
        dtype: the torch dtype of `device.dtype`.
        cache: the folder of prepared data.
        checkpoints: the folder of the trial's checkpoints.
        diverged: why the trial has diverged; None if it has not.
        notes: sentences for the status message and the report.
        stop_requested: whether SIGTERM has arrived.
        defer_stop: whether SIGTERM only sets `stop_requested`, e.g. during a training step.
        from_step: the step that this process resumed from; 0 if it started the trial.
        results: the recorded values: {metric: (value, unit)}.
        passes: the number of earlier timing passes.
        samples: the samples of all timing passes: {quantity: seconds of each call}.
        run_seconds: of a timed trial, the seconds of its first stage; None if unknown.
    """

    def __init__(self, job: Job, send: SendEvent, watch: Stopwatch) -> None:
        self.config = job.config
        self.seed = job.seed + job.config.seed_offset
        self.device = device.set_up_process(job.config.device, job.device)
        self.dtype = getattr(torch, job.config.device.dtype.value)
        self.cache = job.cache
        self.checkpoints = job.slot.folder / CHECKPOINTS
        self.diverged: str | None = None
        self.notes: list[str] = []
        self.stop_requested = False
        self.defer_stop = False
        self.from_step = 0
        self.results: dict[str, tuple[float, str]] = {}
        self.passes = 0
        self.samples: dict[str, list[float]] = {}
        self.run_seconds: float | None = None
        self._job, self._send, self._watch = job, send, watch
        self._tracker: Tracker | None = None
        self._tables: dict[str, list[dict[str, Any]]] = {}
        self._step = 0
        torch.manual_seed(self.seed)

    def request_stop(self, *_: object) -> None:
        """Stop the trial (the handler of SIGTERM).

        A training first ends its step and writes a checkpoint. Everything else stops at once.

        Raises:
            TrialStopped: unless `defer_stop` is set.
        """
        self.stop_requested = True
        if not self.defer_stop:
            self.defer_stop = True  # raise once: the records are written next
            raise TrialStopped("stopped on request")

    def restore_first_stage(self, first: Mapping[str, Any]) -> None:
        """Restore the results of the first stage, and the samples of earlier timing passes."""
        self.from_step = first["from_step"]
        self.passes = first.get("passes", 0)
        self.samples = first.get("samples", {})
        # After another timing pass the record is a result, whose seconds include the timing.
        self.run_seconds = first.get("run_seconds", None if self.passes else first.get("seconds"))
        self.results = {row["metric"]: (row["value"], row["unit"]) for row in first["results"]}
        self.notes = list(first.get("notes", ()))

    def resumable_loop(self, items: Sequence[T]) -> Iterator[T]:
        """Yield items to measure; save results and tables after each one, to resume after a kill.

        Items that an earlier process has finished are skipped. Opens the curves.
        """
        path = self.checkpoints / PIECES
        pieces = self._load_pieces(path, len(items))
        self.results |= {name: (value, unit) for name, (value, unit) in pieces["results"].items()}
        self._tables, self._step = pieces["tables"], pieces["step"]
        self.open_log(pieces["step"])
        self.from_step = pieces["done"]
        if self.from_step:
            self.progress(self.from_step, len(items), 0.0)
        for n_done, item in enumerate(items[pieces["done"] :], pieces["done"] + 1):
            yield item
            self.flush()
            state = {"results": self.results, "tables": self._tables, "step": self._step}
            curves = curves_fingerprint(self._job.slot.folder / CURVES)
            write_json(path, encode_non_finite({"done": n_done, "curves": curves, **state}))
            self.progress(n_done, len(items), 0.0)

    def _load_pieces(self, path: Path, n_items: int) -> dict[str, Any]:
        """Load the results of finished items; return no results if they are damaged."""
        no_pieces: dict[str, Any] = {"done": 0, "step": 0, "results": {}, "tables": {}}
        if not path.exists():
            return no_pieces
        with contextlib.suppress(ValueError, TypeError, OverflowError, RecursionError):
            pieces = decode_non_finite(read_json(path) or {})
            if (
                is_pieces(pieces)
                and pieces["done"] <= n_items
                and curves_match(self._job.slot.folder / CURVES, pieces["curves"])
            ):
                return pieces
        self.note(f"{PIECES} or {CURVES} is damaged: all measurements start again")
        return no_pieces

    def open_log(self, step: int) -> None:
        """Open the curves and keep the rows up to `step`; with 0 start them again."""
        self.from_step = step
        if not step and not self._tables:
            shutil.rmtree(self._job.slot.folder / TABLES, ignore_errors=True)
        self._tracker = self._open_tracker(step or None)
        self._job.slot.write_status(
            "running", pid=os.getpid(), host=platform.node(), code=self._job.code, from_step=step
        )

    def log(self, values: dict[str, float], step: int) -> None:
        """Add values of a step to the curves of this trial."""
        assert self._tracker is not None, "open_log() comes before the first log()"
        self._tracker.log(values, step)
        self._step = max(self._step, step)

    def record(self, values: dict[str, float], unit: str = "") -> None:
        """Set final values with their unit; they become rows of results.csv."""
        self.results |= {name: (float(value), unit) for name, value in values.items()}

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Save a table, e.g. an attention matrix, for figures and the report.

        It replaces an earlier table of this name. All rows have the keys of the first row.
        """
        assert name.isidentifier(), name
        self._tables[name] = [dict(row) for row in rows]
        path = self._job.slot.folder / TABLES / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def extend_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to a table; make it if it does not exist."""
        self.table(name, [*self._tables.get(name, ()), *rows])

    def pool_samples(self, samples: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
        """Add the samples of this timing pass to earlier ones; return the samples of all passes.

        `samples` are the seconds of each call, by quantity. Their spread over the trials of an arm
        decides on a further pass (`runner.study.timing_passes`).
        """
        pooled = {name: [*self.samples.get(name, ()), *new] for name, new in samples.items()}
        self.samples |= pooled
        return pooled

    def progress(self, step: int, steps: int, loss: float) -> None:
        """Send the progress of this trial to the parent, with the step that it resumed from."""
        self._send({"step": step, "steps": steps, "loss": loss, "from_step": self.from_step})

    def diverge(self, reason: str) -> None:
        """Mark the trial as diverged; the first reason is kept."""
        self.diverged = self.diverged or truncate_middle(reason)

    def note(self, text: str) -> None:
        """Add a note to the trial's status, e.g. on a spike of the loss."""
        if (text := truncate_middle(text)) not in self.notes:
            self.notes.append(text)

    def replace_diverged_values(self) -> set[str]:
        """Replace each result of a diverged trial by its diverged value.

        A trial also diverges if a loss was finite before training and is not finite at the end.

        Returns:
            The names of the clipped results: their values were not measured.
        """
        self.flush()
        first: dict[str, float] = {}
        for _, name, value in read_curves(self._job.slot.folder):
            first.setdefault(name, value)
        metrics = {name: science.metric(name) for name in self.results}
        for name, (value, _) in self.results.items():
            first_value = first.get(metrics[name].curve or name, math.nan)
            became_non_finite = math.isfinite(first_value) and not math.isfinite(value)
            if became_non_finite and metrics[name].diverged is DivergedValue.start:
                self.diverge(f"{name} is {value} at the end")
        if not self.diverged:
            return set()
        clipped = set()
        for name, (value, unit) in self.results.items():
            replacement, is_clipped = value_if_diverged(name, value, metrics[name], first)
            self.results[name] = (replacement, unit)
            clipped |= {name} if is_clipped else set()
        return clipped

    def flush(self) -> None:
        """Write the curves and the elapsed time to disk.

        Call it before a checkpoint is saved: the checkpoint holds a digest of the curves.
        """
        if self._tracker:
            self._tracker.flush()
        self._watch.save()

    def close(self, status: Literal["done", "failed"]) -> None:
        """Close the curves and the event file, which gets final values for the HParams table."""
        if self._tracker is None and self._job.stage is Stage.timing:
            # Opened only now, so that no writer thread runs during timing.
            self._tracker = self._open_tracker(sys.maxsize)
        if self._tracker:
            names = [name for name in self._job.table_metrics if name in self.results]
            finals = {name: self.results[name][0] for name in names}
            self._tracker.close(status, finals)

    def _open_tracker(self, last_step: int | None) -> Tracker:
        """Open the tracker and keep the curves up to a step; with None start them again."""
        hparams = flatten(self._job.config.signature_tree()) | {
            "arm": self._job.arm,
            "seed": self._job.seed,
        }
        return Tracker(self._job.slot.folder, hparams, resume_step=last_step)
