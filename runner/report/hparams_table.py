"""TensorBoard's HParams table: its columns are the settings in which an experiment's trials differ.

TensorBoard reads the columns from one run that declares them, and does not specify which one. So
every run of an experiment has the table, in a file of its own in `tb/`. A new report replaces all
these files, so that they are identical.
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
    """Return the hyperparameters that differ between the arms of the study and of the trial store.

    `store` is the folder of the experiment's trials, including those of other commands.
    """
    names = _differing([study.settings.get(arm, {}) for arm in study.arms])
    if store is not None:
        arms = [read_json(path) or {} for path in sorted(store.glob(f"*/{ARM}"))]
        trees = [arm.get("config") for arm in arms]
        names |= _differing([flatten(tree) for tree in trees if isinstance(tree, dict)])
    return sorted(names - {"arm", "seed"})


def write_hparams_table(folder: Path, study: StudyRecord, differing: Sequence[str]) -> None:
    """Write the table into a folder, as a separate event file that replaces an earlier one."""
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
    draft = path.with_name(f".writing-{os.getpid()}")
    draft.write_bytes(content)
    try:
        draft.replace(path)
    except OSError:  # for example, the path is a folder
        draft.unlink()
        raise


def _holds_table(path: Path, table: Any) -> bool:
    """Return whether an event file holds this table; its time stamp does not matter."""
    try:
        return table.SerializeToString() in read_bytes(path)
    except OSError:  # for example, it is missing, a pipe or a folder
        return False


def update_shared_tables(run: Path, study: StudyRecord) -> list[str]:
    """Replace the tables of all runs of the experiment, including `run`, by the study's table.

    A run outside a store (`<experiment>/runs/<run>` next to `<experiment>/trials`) keeps its own
    table. Return a line for each of the first runs whose table cannot be replaced.
    """
    runs = run.absolute().parent
    store = Store.trials_folder(runs.parent.parent, runs.parent.name)
    if runs.name != "runs" or not store.is_dir():
        return []
    failed = []
    # One command at a time: if two reports end together, every run gets the table of the last one.
    # The wait is short, as another command may hold the lock for any length of time.
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, NotImplementedError):  # filelock's Timeout is an OSError
            stack.enter_context(FileLock(store / ".lock", timeout=LOCK_TIMEOUT))
        differing = differing_hparams(study, store)
        table = _table(study, differing)
        stale = [
            path
            for tb in runs.glob("*/tb")
            if not (tb.is_symlink() or tb.parent.is_symlink())
            and not _holds_table(path := tb / FILE, table)
        ]
        content = _event_file(table) if stale else b""
        for path in sorted(stale):
            try:
                _replace(path, content)
            except FileNotFoundError:
                continue  # another report is writing this run's folder
            except OSError as error:
                reason = error.strerror or str(error)
                failed.append(f"the HParams columns in {path} could not be updated ({reason})")
    return first_lines(failed)


def _differing(settings: Sequence[Mapping[str, Any]]) -> set[str]:
    names = {name for values in settings for name in values}
    absent = object()
    return {name for name in names if len({values.get(name, absent) for values in settings}) > 1}
