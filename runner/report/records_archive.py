"""What a run keeps of its trials: curves and tables, in one archive of its own folder. No torch.

    records.zip
      <arm>/seed-<k>/metrics.csv
      <arm>/seed-<k>/tables/<name>.csv

The files are those of the trials, byte for byte, so that a report that is written again shows what
the first one has shown, wherever the folder lies and whatever has become of the trials. The same
records give the same archive. A first report reads it too: there is one way to read it.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from runner.records.store import CURVES, TABLES, Slot
from runner.wording.output import first_lines

FILE = "records.zip"
MAX_UNPACKED_BYTES = 512 * 2**20
"""Bytes that any archive may unpack to when it is redrawn; a larger one has `MAX_UNPACKED_RATIO` too."""
MAX_UNPACKED_RATIO = 20  # unpacked bytes per byte of the archive: what was sent bounds what is read
MAX_FILES, MAX_FILES_PER_TRIAL = 200_000, 100
MAX_ARCHIVE_BYTES = 2 * 2**30
"""Bytes of the largest archive that `redraw` reads."""
DATE = (1980, 1, 1, 0, 0, 0)  # the same records give the same bytes
HISTORY_COLUMNS = ["arm", "seed", "step", "metric", "value"]
COLUMNS: dict[str, type] = {"step": int, "metric": str}
EXACT: dict[str, Callable[[str], float]] = {"value": float}  # not every pandas keeps the last bit
NUMBERS = {"seed": int, "step": int, "value": float}
TEXTS = {"label": str}  # the name of a folder, which may look like a number or a truth value

Trials = Iterable[tuple[str, int]]


@dataclass(frozen=True)
class CurvesAndTables:
    """The curves and tables of a run, with the columns that `record.StudyRecord` names.

    `faults` names the first files of the archive that could not be read and were left out.
    """

    history: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    faults: list[str] = field(default_factory=list)


def pack_trials(
    trials: Iterable[tuple[str, int, Slot, Mapping[str, str]]],
) -> tuple[bytes, list[str]]:
    """The archive of trials that have a result, and a line on each of the first that lost files.

    Each trial is its arm, seed and place, and the digests of its files when its result was read:
    another command may have begun to compute it again since.
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
    """Why an archive is too large to be redrawn; "" if it is not. Raises ValueError: no archive."""
    with open_archive(content) as archive:
        entries = archive.infolist()
    size, most = (
        sum(entry.file_size for entry in entries),
        max(MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO * len(content)),
    )
    most_files = max(MAX_FILES, MAX_FILES_PER_TRIAL * n_trials)
    if len(content) > MAX_ARCHIVE_BYTES:
        return f"{FILE} has more than {MAX_ARCHIVE_BYTES // 2**20:,} MiB"
    if size > most:
        return f"{FILE} holds more than {most // 2**20:,} MiB"
    return f"{FILE} holds more than {most_files:,} files" if len(entries) > most_files else ""


def open_archive(content: bytes) -> zipfile.ZipFile:
    """The archive that some bytes are. Raises ValueError where they are none."""
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise ValueError(f"{FILE} is no archive") from error


def unpack_trials(content: bytes, trials: Trials) -> CurvesAndTables:
    """The curves and tables of trials; nothing is written, and no name of the archive is a path.

    Ask `too_large_reason` first where somebody else may have written the archive.

    Raises:
        ValueError: it is no archive.
    """
    history: list[pd.DataFrame] = []
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
                    frame = parse_trial_file(archive.read(f"{trial}/{name}"), curves=not table)
                except Exception:  # whatever zlib and pandas say of a file that is not ours
                    faults.append(f"{FILE}: {trial}/{name} cannot be read and is left out")
                    continue
                frame.insert(0, "arm", arm)
                frame.insert(1, "seed", number)
                (tables.setdefault(table, []) if table else history).append(frame)
    joined = pd.concat(history, ignore_index=True) if history else empty_history()
    kept = {name: pd.concat(frames, ignore_index=True) for name, frames in tables.items()}
    return CurvesAndTables(joined[HISTORY_COLUMNS], dict(sorted(kept.items())), first_lines(faults))


def parse_trial_file(content: bytes, *, curves: bool) -> pd.DataFrame:
    """One file of a trial as a frame.

    Raises:
        ValueError: it has not the columns of curves, or has those that name a trial.
    """
    if not curves:
        table = pd.read_csv(io.BytesIO(content), keep_default_na=False, dtype=TEXTS)
        if {"arm", "seed"} & {*table.columns}:
            raise ValueError("a table names no trial: its place does")
        return table
    frame = pd.read_csv(io.BytesIO(content), dtype=COLUMNS, converters=EXACT, keep_default_na=False)
    if list(frame.columns) != ["step", "metric", "value"]:
        raise ValueError("no curves")
    return frame.astype({"value": float})


def table_name(name: str) -> str:
    """The table that a file of a trial holds; "" if it is none."""
    folder, _, file = name.partition("/")
    stem = file.removesuffix(".csv")
    return stem if folder == TABLES and file.endswith(".csv") and stem.isidentifier() else ""


def empty_history() -> pd.DataFrame:
    """The curves of a run that has none."""
    return pd.DataFrame(columns=HISTORY_COLUMNS).astype(NUMBERS)
