"""One trial as its process sees it: folder, lock, tracker and record of an arm under one seed."""

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
        self._job, self._send, self._watch = job, send, watch
        self._tracker: Tracker | None = None
        self._tables: dict[str, list[dict[str, Any]]] = {}
        self._step = 0
        torch.manual_seed(self.seed)

    def request_stop(self, *_: object) -> None:
        """Ask the trial to end (SIGTERM): a training after its step and a checkpoint, else now."""
        self.stop_requested = True
        if not self.defer_stop:
            self.defer_stop = True  # once: what follows brings the records to disk
            raise TrialStopped("asked to stop")

    def restore_first_stage(self, first: Mapping[str, Any]) -> None:
        """Go on from what the first stage has found, and from samples of earlier passes."""
        self.from_step = first["from_step"]
        self.passes = first.get("passes", 0)
        self.samples = first.get("samples", {})
        self.results = {row["metric"]: (row["value"], row["unit"]) for row in first["results"]}
        self.notes = list(first.get("notes", ()))

    def resumable_loop(self, items: Sequence[T]) -> Iterator[T]:
        """Go through measurements one after the other; what each records survives a kill.

        A process that finds finished pieces goes on behind them. Opens the records.
        """
        path = self.checkpoints / PIECES
        kept = self._load_pieces(path, len(items))
        self.results |= {name: (value, unit) for name, (value, unit) in kept["results"].items()}
        self._tables, self._step = kept["tables"], kept["step"]
        self.open_log(kept["step"])
        self.from_step = kept["done"]
        for done, item in enumerate(items[kept["done"] :], kept["done"] + 1):
            yield item
            self.flush()
            state = {"results": self.results, "tables": self._tables, "step": self._step}
            curves = curves_fingerprint(self._job.slot.folder / CURVES)
            write_json(path, encode_non_finite({"done": done, "curves": curves, **state}))
            self.progress(done, len(items), 0.0)

    def _load_pieces(self, path: Path, most: int) -> dict[str, Any]:
        """What finished pieces have left, where it is whole and their curves are still there."""
        nothing: dict[str, Any] = {"done": 0, "step": 0, "results": {}, "tables": {}}
        if not path.exists():
            return nothing
        with contextlib.suppress(ValueError, TypeError, OverflowError, RecursionError):
            kept = decode_non_finite(read_json(path) or {})
            if (
                is_pieces(kept)
                and kept["done"] <= most
                and curves_match(self._job.slot.folder / CURVES, kept["curves"])
            ):
                return kept
        self.note(f"{PIECES} or {CURVES} was damaged: measured anew from the first piece")
        return nothing

    def open_log(self, step: int) -> None:
        """Open the records, going on after `step`; 0 starts them anew."""
        self.from_step = step
        if not step and not self._tables:
            shutil.rmtree(self._job.slot.folder / TABLES, ignore_errors=True)
        self._tracker = self._open(step or None)
        self._job.slot.write_status(
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
        path = self._job.slot.folder / TABLES / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def extend_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to a table."""
        self.table(name, [*self._tables.get(name, ()), *rows])

    def pool_samples(self, samples: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
        """Keep the samples of what was timed now; return them behind those of earlier passes.

        Names are those of the timed quantities, in seconds a call. Their spread over the trials of
        an arm decides whether the study times its trials again (`runner.study.timing_passes`).
        """
        everything = {name: [*self.samples.get(name, ()), *new] for name, new in samples.items()}
        self.samples |= everything
        return everything

    def progress(self, step: int, steps: int, loss: float) -> None:
        """Tell the parent how far this trial is."""
        self._send({"step": step, "steps": steps, "loss": loss})

    def diverge(self, reason: str) -> None:
        """Mark the trial as diverged; the first reason stands."""
        self.diverged = self.diverged or truncate_middle(reason)

    def note(self, text: str) -> None:
        """Tell something of the trial that its numbers do not, such as a spike."""
        if (text := truncate_middle(text)) not in self.notes:
            self.notes.append(text)

    def replace_diverged_values(self) -> set[str]:
        """Replace each result of a diverged trial by its worth; name those that are clipped.

        A loss that had a value before training and has none at the end is divergence too.
        """
        self.flush()
        first: dict[str, float] = {}
        for _, name, value in read_curves(self._job.slot.folder):
            first.setdefault(name, value)
        metrics = {name: science.metric(name) for name in self.results}
        for name, (value, _) in self.results.items():
            started = first.get(metrics[name].curve or name, math.nan)
            lost = math.isfinite(started) and not math.isfinite(value)
            if lost and metrics[name].diverged is DivergedValue.start:
                self.diverge(f"{name} is {value} at the end")
        if not self.diverged:
            return set()
        clipped = set()
        for name, (value, unit) in self.results.items():
            counted, stands_in = value_if_diverged(name, value, metrics[name], first)
            self.results[name] = (counted, unit)
            clipped |= {name} if stands_in else set()
        return clipped

    def flush(self) -> None:
        """Bring the curves to disk, before a checkpoint says that they are there; and the time."""
        if self._tracker:
            self._tracker.flush()
        self._watch.save()

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
        hparams = flatten(self._job.config.signature_tree()) | {
            "arm": self._job.arm,
            "seed": self._job.seed,
        }
        return Tracker(self._job.slot.folder, hparams, resume_step=last_step)
