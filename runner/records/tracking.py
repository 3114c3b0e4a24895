"""What a trial logs: a tidy `metrics.csv` and a TensorBoard event file with the same numbers.

The CSV is the record; the event file can be rewritten from it, which is what makes a resumed
trial's set of (tag, step, value) equal to that of a trial that was never stopped. `metrics.csv`
keeps every digit of a float, the event file holds float32.
"""

import contextlib
import csv
import hashlib
import io
import os
import stat
import time
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TextIO

from runner.records import tensorboard
from runner.records.files import is_transient, remove
from runner.records.store import CURVES

HEADER = ("step", "metric", "value")
Row = tuple[int, str, float]
Status = Literal["done", "failed"]


class Tracker:
    """Logs one trial into its folder.

    Rows wait in memory and are written by `flush()`, by `close()`, and by a `log()` that comes
    `flush_seconds` after the last write. Call `flush()` before a checkpoint is saved: rows up to
    the checkpoint's step are then on disk. `resume_step=k` keeps the rows with step <= k that an
    earlier tracker left in the folder; without it the trial starts from nothing.
    """

    def __init__(
        self,
        folder: Path,
        hparams: tensorboard.HParams,
        *,
        resume_step: int | None = None,
        flush_seconds: float = 5.0,
    ) -> None:
        self.folder = folder
        self.flush_seconds = flush_seconds
        self._rows: list[Row] = []
        folder.mkdir(parents=True, exist_ok=True)
        kept = (
            [] if resume_step is None else [r for r in read_curves(folder) if r[0] <= resume_step]
        )
        for stale in folder.glob("events.out.tfevents.*"):
            remove(stale)
        _replace(folder / CURVES, kept)
        self._closed = False
        self._writer = tensorboard.open_writer(folder)
        group = f"{folder.parent.name}/{folder.name}"
        self._writer.add_event(tensorboard.event(tensorboard.session_start(hparams, group)))
        self._write_events(kept)
        self._last_step = kept[-1][0] if kept else 0
        self._last_flush = time.monotonic()

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Record values of one step; NaN and infinities are data and are kept."""
        self._rows += [(step, metric, float(value)) for metric, value in values.items()]
        self._last_step = step
        if time.monotonic() - self._last_flush >= self.flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Bring everything logged so far to the disk; the CSV is synced."""
        with (self.folder / CURVES).open("a", newline="", encoding="utf-8") as file:
            _write_rows(file, self._rows)
        self._write_events(self._rows)
        self._writer.flush()
        self._rows.clear()
        self._last_flush = time.monotonic()

    def close(self, status: Status, final: Mapping[str, float] | None = None) -> None:
        """Flush, and tell TensorBoard how the trial ended. Closing twice is harmless.

        `final` values fill the trial's row of the HParams table, as `final/<metric>` at the last
        step; they go into the event file only, their record is the trial's result.
        """
        if self._closed:
            return
        self.flush()
        if final:
            values = {f"final/{metric}": float(value) for metric, value in final.items()}
            self._writer.add_event(
                tensorboard.event(tensorboard.scalar_summary(values), self._last_step)
            )
        self._writer.add_event(tensorboard.event(tensorboard.session_end(success=status == "done")))
        self._closed = True
        self._writer.close()

    def _write_events(self, rows: list[Row]) -> None:
        for step, group in groupby(rows, key=lambda row: row[0]):
            values = [(metric, value) for _, metric, value in group]
            # A metric logged twice at one step is two points: a dict would drop the first.
            if len(values) == len(dict(values)):
                self._writer.add_event(
                    tensorboard.event(tensorboard.scalar_summary(dict(values)), step)
                )
            else:
                for metric, value in values:
                    self._writer.add_event(
                        tensorboard.event(tensorboard.scalar_summary({metric: value}), step)
                    )


def read_curves(folder: Path) -> list[Row]:
    """The rows of a trial's `metrics.csv` up to the first line that cannot be read.

    The last line of a trial that was killed may be torn. Names are read as they were written,
    whatever characters they have.
    """
    path = folder / CURVES
    try:
        content = path.read_bytes() if path.is_file() else b""  # a pipe would be waited for
    except OSError as error:
        if is_transient(error):
            raise
        return []
    # A kill may cut the last line, and a character in two.
    text = content[: content.rfind(b"\n") + 1].decode(errors="replace")
    rows: list[Row] = []
    lines = csv.reader(io.StringIO(text, newline=""))
    with contextlib.suppress(csv.Error, ValueError):
        next(lines, None)
        for step, metric, value in lines:
            rows.append((int(step), metric, float(value)))
    return rows


def curves_fingerprint(path: Path) -> dict[str, Any]:
    """What curves hold now, for `curves_match` to compare: their size and digest; empty without any."""
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def curves_match(path: Path, earlier: Mapping[str, Any]) -> bool:
    """Whether curves still begin with what they held when they were stamped; rows may follow.

    Raises OSError where that cannot be told now; see `runner.records.files.is_transient`.
    """
    size = earlier.get("size", 0)
    if not isinstance(size, int) or size < 0:
        return False
    if not size:
        return True
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size < size:
            return False  # a damaged size would ask for more memory than there is
        with path.open("rb") as file:
            return hashlib.sha256(file.read(size)).hexdigest() == earlier.get("sha256")
    except OSError as error:
        if is_transient(error):
            raise
        return False


def _replace(path: Path, rows: list[Row]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerow(HEADER)
        _write_rows(file, rows)
    temporary.replace(path)


def _write_rows(file: TextIO, rows: list[Row]) -> None:
    """Append rows with every digit of their values, and wait until they are on the disk."""
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for step, metric, value in rows:
        # Not every Python quotes a carriage return, which ends a line all the same.
        (quoted if "\r" in metric else plain).writerow((step, metric, repr(value)))
    file.flush()
    os.fsync(file.fileno())
