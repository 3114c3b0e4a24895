"""The curves and tables of a run's trials, in one archive in its own folder. Imports no torch.

    records.zip
      <arm>/seed-<k>/metrics.csv
      <arm>/seed-<k>/tables/<name>.csv

The archive holds the trials' files byte for byte. So a redrawn report shows the same content as the
first one, even if the folder was moved or the trials were deleted. The same records give the same
archive. The first report is made from the archive too, so that there is one reader.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from runner.records.store import CURVES, TABLES, Slot
from runner.report.run_folder import ARCHIVE_FILE
from runner.wording.output import first_lines

FILE = ARCHIVE_FILE
MAX_UNPACKED_BYTES = 512 * 2**20
"""Unpacked bytes that `redraw` reads of any archive; of a large one it reads `MAX_UNPACKED_RATIO`
times its size."""
MAX_UNPACKED_RATIO = 20  # unpacked bytes per byte of the archive: its size bounds the memory
MAX_FILES, MAX_FILES_PER_TRIAL = 200_000, 100
MAX_ARCHIVE_BYTES = 2 * 2**30
"""Bytes of the largest archive that `redraw` reads."""
DATE = (1980, 1, 1, 0, 0, 0)  # the same records give the same bytes
HISTORY_COLUMNS = ["arm", "seed", "step", "metric", "value"]
COLUMNS: dict[str, type] = {"step": int, "metric": str}
EXACT: dict[str, Callable[[str], float]] = {"value": float}  # some versions of pandas round
NUMBERS = {"seed": int, "step": int, "value": float}
PLAIN_CURVES = re.compile(  # a step of 18 digits fits into 64 bits
    rb'step,metric,value\n(?:[0-9]{1,18},[^,"\r\n\0]+,[^,"\r\n\0]+\n)*'
)
TEXTS = {"label": str}  # the name of a folder, which may look like a number or a boolean

Trials = Iterable[tuple[str, int]]


@dataclass(frozen=True)
class CurvesAndTables:
    """The curves and tables of a run, with the columns that `StudyRecord` lists.

    `faults` names the first files of the archive that could not be read and were left out.
    """

    history: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    faults: list[str] = field(default_factory=list)


def pack_trials(
    trials: Iterable[tuple[str, int, Slot, Mapping[str, str]]],
) -> tuple[bytes, list[str]]:
    """Return the archive of trials that have a result, and a line for each file that was left out.

    `trials` gives arm, seed and slot of each trial, and the digests of its files when its result
    was read. A file is left out if another command has changed it since. Of many lines, only the
    first are returned.
    """
    content, faults = io.BytesIO(), []
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for arm, seed, slot, digests in trials:
            for name in sorted(digests):
                if name != CURVES and not table_name(name):
                    continue
                try:
                    data = (slot.folder / name).read_bytes()
                except OSError:
                    data = b""
                if hashlib.sha256(data).hexdigest() != digests[name]:
                    faults.append(f"{arm} seed {seed}: {name} was changed during the report")
                    continue
                entry = zipfile.ZipInfo(f"{arm}/seed-{seed}/{name}", DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, data)
    return content.getvalue(), first_lines(faults)


def too_large_reason(content: bytes, n_trials: int) -> str:
    """Return why an archive is too large to be redrawn; "" if it is not.

    Raises:
        ValueError: the content is not an archive.
    """
    with open_archive(content) as archive:
        entries = archive.infolist()
    size, max_size = (
        sum(entry.file_size for entry in entries),
        max(MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO * len(content)),
    )
    max_files = max(MAX_FILES, MAX_FILES_PER_TRIAL * n_trials)
    if len(content) > MAX_ARCHIVE_BYTES:
        return f"{FILE} has more than {MAX_ARCHIVE_BYTES // 2**20:,} MiB"
    if size > max_size:
        return f"{FILE} holds more than {max_size // 2**20:,} MiB"
    return f"{FILE} holds more than {max_files:,} files" if len(entries) > max_files else ""


def open_archive(content: bytes) -> zipfile.ZipFile:
    """Open an archive in memory.

    Raises:
        ValueError: the content is not an archive.
    """
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise ValueError(f"{FILE} is not a zip archive") from error


def unpack_trials(content: bytes, trials: Trials) -> CurvesAndTables:
    """Return the curves and tables of trials; no file is written, and no name becomes a path.

    Call `too_large_reason` first if the archive may be untrusted.

    Raises:
        ValueError: the content is not an archive.
    """
    history = CurveColumns()
    tables: dict[str, list[pd.DataFrame]] = {}
    faults: list[str] = []
    with open_archive(content) as archive:
        by_trial: dict[str, list[str]] = {}
        for entry in archive.infolist():
            arm, _, rest = entry.filename.partition("/")
            seed, _, name = rest.partition("/")
            by_trial.setdefault(f"{arm}/{seed}", []).append(name)
        for arm, number in trials:
            trial = f"{arm}/seed-{number}"
            for name in sorted({*by_trial.get(trial, ())}):
                table = table_name(name)
                if name != CURVES and not table:
                    continue
                try:
                    content_of_file = archive.read(f"{trial}/{name}")
                    if not table:
                        history.add(arm, number, content_of_file)
                        continue
                    frame = parse_table(content_of_file)
                except Exception:  # an untrusted file can cause any error in zlib and pandas
                    faults.append(f"{FILE}: {trial}/{name} cannot be read and is left out")
                    continue
                frame.insert(0, "arm", arm)
                frame.insert(1, "seed", number)
                tables.setdefault(table, []).append(frame)
    whole = {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()}
    return CurvesAndTables(history.to_frame(), dict(sorted(whole.items())), first_lines(faults))


class CurveColumns:
    """The columns of the curves of many trials, as lists: a frame for each trial takes long."""

    def __init__(self) -> None:
        self._arms: list[str] = []
        self._seeds: list[int] = []
        self._steps: list[int] = []
        self._metrics: list[str] = []
        self._values: list[float] = []
        self._names: dict[str, str] = {}  # each name of a metric is one object

    def add(self, arm: str, seed: int, content: bytes) -> None:
        """Add the file of one trial.

        Raises:
            ValueError: the columns are not step, metric and value.
        """
        columns = split_plain_curves(content)
        if columns is None:
            frame = parse_curves(content)
            columns = (frame["step"].tolist(), frame["metric"].tolist(), frame["value"].tolist())
        steps, metrics, values = columns
        self._arms += [arm] * len(steps)
        self._seeds += [seed] * len(steps)
        self._steps += steps
        self._metrics += map(self._names.setdefault, metrics, metrics)
        self._values += values

    def to_frame(self) -> pd.DataFrame:
        """Return the curves with `HISTORY_COLUMNS`."""
        if not self._arms:
            return empty_history()
        columns = (self._arms, self._seeds, self._steps, self._metrics, self._values)
        return pd.DataFrame(dict(zip(HISTORY_COLUMNS, columns, strict=True)))


def split_plain_curves(content: bytes) -> tuple[list[int], list[str], list[float]] | None:
    """Return steps, metrics and values of curves without quotes; None if pandas must read them.

    Plain curves need no parser of CSV. `parse_curves` reads all others, such as one with a quote or
    a negative step. Both read the same values.
    """
    if not PLAIN_CURVES.fullmatch(content):
        return None
    # Each line has three fields. The first is the head, and the last one ends with a line break.
    fields = content.decode().replace("\n", ",").split(",")[3:-1]
    try:
        return list(map(int, fields[::3])), fields[1::3], list(map(float, fields[2::3]))
    except ValueError:
        return None


def parse_table(content: bytes) -> pd.DataFrame:
    """Return a table of a trial as a frame.

    Raises:
        ValueError: a column has the name of one that names a trial.
    """
    table = pd.read_csv(io.BytesIO(content), keep_default_na=False, dtype=TEXTS)
    if {"arm", "seed"} & {*table.columns}:
        raise ValueError("a table has no columns arm and seed: its path names the trial")
    return table


def parse_curves(content: bytes) -> pd.DataFrame:
    """Return the curves of a trial as a frame.

    Raises:
        ValueError: the columns are not step, metric and value.
    """
    frame = pd.read_csv(io.BytesIO(content), dtype=COLUMNS, converters=EXACT, keep_default_na=False)
    if list(frame.columns) != ["step", "metric", "value"]:
        raise ValueError("the columns of curves are step, metric and value")
    return frame.astype({"value": float})


def table_name(name: str) -> str:
    """Return the name of the table in a file of a trial; "" if the file is not a table."""
    folder, _, file = name.partition("/")
    stem = file.removesuffix(".csv")
    return stem if folder == TABLES and file.endswith(".csv") and stem.isidentifier() else ""


def empty_history() -> pd.DataFrame:
    """Return curves without any row."""
    return pd.DataFrame(columns=HISTORY_COLUMNS).astype(NUMBERS)
