"""The columns of TensorBoard's HParams table: what differs between the trials of an experiment.

TensorBoard reads the columns from one run that declares them, and which one is not specified. So
the table lies in a file of its own in the `tb/` of every run of an experiment, and a new report
replaces them all: they say the same, whichever TensorBoard takes.
"""

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from runner.config import flatten
from runner.records import tensorboard
from runner.records.files import read_bytes, read_json
from runner.records.store import ARM, Store
from runner.report.study_record import StudyRecord
from runner.wording.output import first_lines

FILE = "hparams.tfevents"  # TensorBoard reads every file with `tfevents` in its name
LOCK_TIMEOUT = 5  # seconds that a report waits for another command's lock


def differing_hparams(study: StudyRecord, store: Path | None = None) -> list[str]:
    """The hyperparameters that are not the same in all arms, of the study and of the trial store.

    `store` is the folder of the experiment's trials, which other commands have computed, too.
    """
    names = _differing([study.settings.get(arm, {}) for arm in study.arms])
    if store is not None:
        arms = [read_json(path) or {} for path in sorted(store.glob(f"*/{ARM}"))]
        trees = [arm.get("config") for arm in arms]
        names |= _differing([flatten(tree) for tree in trees if isinstance(tree, dict)])
    return sorted(names - {"arm", "seed"})


def write_hparams_table(folder: Path, study: StudyRecord, differing: Sequence[str]) -> None:
    """Write the table into a folder, as an event file of its own that replaces an earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / FILE, _event_file(_table(study, differing)))


def _table(study: StudyRecord, differing: Sequence[str]) -> Any:
    metrics = {f"final/{metric}": study.label(metric) for metric in study.metrics}
    return tensorboard.hparams_table(["arm", "seed", *differing], metrics)


def _event_file(table: Any) -> bytes:
    with tempfile.TemporaryDirectory(prefix="ablab-") as name:
        writer = tensorboard.open_writer(Path(name))
        writer.add_event(tensorboard.event(table))
        writer.close()
        (written,) = Path(name).iterdir()
        return written.read_bytes()


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".writing-{os.getpid()}")
    beside.write_bytes(content)
    try:
        beside.replace(path)
    except OSError:  # a folder is there, say
        beside.unlink()
        raise


def _says(path: Path, table: Any) -> bool:
    """Whether an event file holds this table, whenever it was written."""
    try:
        return table.SerializeToString() in read_bytes(path)
    except OSError:  # missing, or a pipe or a folder, say
        return False


def update_shared_tables(run: Path, study: StudyRecord) -> list[str]:
    """Replace the tables of all runs of the experiment, `run` among them, by that of the study.

    A run that does not lie in a store (`<experiment>/runs/<run>` beside `<experiment>/trials`)
    keeps its own. Returns a line for each of the first runs whose table cannot be replaced.
    """
    runs = run.absolute().parent
    store = Store.trials_folder(runs.parent.parent, runs.parent.name)
    if runs.name != "runs" or not store.is_dir():
        return []
    failed = []
    # One command at a time: of two reports that end together, the last one's table is everywhere.
    # No report waits long for that: another command may hold the lock for as long as it likes.
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError, NotImplementedError):  # filelock's Timeout is an OSError
            held.enter_context(FileLock(store / ".lock", timeout=LOCK_TIMEOUT))
        differing = differing_hparams(study, store)
        table = _table(study, differing)
        stale = [
            path
            for tb in runs.glob("*/tb")
            if not (tb.is_symlink() or tb.parent.is_symlink())
            and not _says(path := tb / FILE, table)
        ]
        content = _event_file(table) if stale else b""
        for path in sorted(stale):
            try:
                _replace(path, content)
            except FileNotFoundError:
                continue  # a report that is just being written
            except OSError as error:
                reason = error.strerror or str(error)
                failed.append(f"TensorBoard's columns of {path} stay as they are ({reason})")
    return first_lines(failed)


def _differing(settings: Sequence[Mapping[str, Any]]) -> set[str]:
    names = {name for values in settings for name in values}
    absent = object()
    return {name for name in names if len({values.get(name, absent) for values in settings}) > 1}
