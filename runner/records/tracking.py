"""The logs of a trial: a tidy `metrics.csv` and a TensorBoard event file with the same numbers.

The CSV is the record, and the event file is rewritten from it on resume. So a resumed trial and an
uninterrupted one have the same set of (tag, step, value). `metrics.csv` keeps every digit of a
float; the event file holds float32.
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
    """The logger of one trial, which writes into the trial's folder.

    Rows wait in memory. They are written by `flush()`, by `close()`, and by a `log()` that comes
    `flush_seconds` or more after the last write. Call `flush()` before a checkpoint is saved, so
    that all rows up to its step are on disk. `resume_step=k` keeps the rows with step <= k that an
    earlier tracker has written; without it the curves start empty.
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
        rows = (
            [] if resume_step is None else [r for r in read_curves(folder) if r[0] <= resume_step]
        )
        for stale in folder.glob("events.out.tfevents.*"):
            remove(stale)
        _replace(folder / CURVES, rows)
        self._closed = False
        self._writer = tensorboard.open_writer(folder)
        self._writer.add_event(tensorboard.event(tensorboard.session_start(hparams)))
        self._write_events(rows)
        self._last_step = rows[-1][0] if rows else 0
        self._last_values = {metric: value for _, metric, value in rows}
        self._last_flush = time.monotonic()

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log values of one step; NaN and infinities are logged like other values."""
        self._rows += [(step, metric, float(value)) for metric, value in values.items()]
        self._last_step = step
        self._last_values |= {metric: float(value) for metric, value in values.items()}
        if time.monotonic() - self._last_flush >= self.flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write everything logged so far; the CSV is synced to disk."""
        with (self.folder / CURVES).open("a", newline="", encoding="utf-8") as file:
            _write_rows(file, self._rows)
        self._write_events(self._rows)
        self._writer.flush()
        self._rows.clear()
        self._last_flush = time.monotonic()

    def close(self, status: Status, final: Mapping[str, float] | None = None) -> None:
        """Flush, and write the trial's status for TensorBoard. A second call does nothing.

        `final` values fill the trial's row of the HParams table. A value with which the metric's
        curve ends is there already. The others get a point at the last step, in the group
        `runner.records.tensorboard.TABLE_GROUP` of the event file only: the trial's result records
        them.
        """
        if self._closed:
            return
        self.flush()
        values = {
            tensorboard.table_tag(metric): float(value)
            for metric, value in (final or {}).items()
            if float(value) != self._last_values.get(metric)
        }
        if values:
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
    """Return the rows of a trial's `metrics.csv` up to the first line that cannot be read.

    The last line of a killed trial may be cut. Names are read exactly as they were written, with
    any characters.

    Raises:
        OSError: the file may be readable later; see `runner.records.files.is_transient`.
    """
    path = folder / CURVES
    try:
        content = path.read_bytes() if path.is_file() else b""  # reading a pipe might never end
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
    """Return size and digest of a file of curves, for `curves_match`; {} if it is unreadable."""
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def curves_match(path: Path, earlier: Mapping[str, Any]) -> bool:
    """Whether a file of curves still begins with the content of an earlier `curves_fingerprint`.

    Rows may have been appended since.

    Raises:
        OSError: the file may be readable later; see `runner.records.files.is_transient`.
    """
    size = earlier.get("size", 0)
    if not isinstance(size, int) or size < 0:
        return False
    if not size:
        return True
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size < size:
            return False  # a damaged, huge size would be read into memory
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
    """Append rows with every digit of their values, and sync them to disk."""
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for step, metric, value in rows:
        # A carriage return ends a line, but some versions of Python do not quote it.
        (quoted if "\r" in metric else plain).writerow((step, metric, repr(value)))
    file.flush()
    os.fsync(file.fileno())
