"""The trials of an experiment on disk: state, code, size, and the files that are not ablab's."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from runner.inventory.disk_usage import DiskUsage
from runner.records import locks, seal
from runner.records.files import list_names
from runner.records.step_times import STEP_TIME
from runner.records.store import (
    CHECKPOINTS,
    FINISHED,
    FIRST_FINISH,
    LOCK,
    LOG,
    PREVIOUS,
    RECORDS,
    STATUS,
    Slot,
)
from runner.report.run_cards import is_own_folder

SEED = re.compile(r"seed-(\d{1,19})")
OWN_NAMES = {
    *(*RECORDS, STEP_TIME, FIRST_FINISH, LOG, LOCK),
    *(PREVIOUS, f".{PREVIOUS}", "metrics.tmp"),
}
"""The names of files and folders in a trial's folder."""
OWN_PATTERN = re.compile(r"events\.out\.tfevents\..*|\..+\.[0-9a-f]{12}")
"""Event files, and drafts of records that a killed process has left."""
REMAINING = {FIRST_FINISH, LOCK}
"""The files that remain of a deleted trial; see `runner.inventory.deletion`."""


class TrialState(StrEnum):
    """The state of a trial in a list of the store.

    done         it has a result, also if it diverged
    failed       it ended with an error
    interrupted  it was stopped; a run resumes it
    running      a process computes it now
    """

    done = "done"
    failed = "failed"
    interrupted = "interrupted"
    running = "running"


@dataclass(frozen=True)
class StoredTrial:
    """One trial on disk.

    Attributes:
        slot: its folder.
        state: its state.
        code: the hash of the code that computed it; "" if it is unknown.
        record_format: the format of its status; None if the status has none.
        weights: the bytes of its checkpoints.
        records: the bytes of everything else.
        time: when its status was written last (seconds since the epoch).
        unknown: the names of entries that are links or not ablab's.
    """

    slot: Slot
    state: TrialState
    code: str = ""
    record_format: object = seal.FORMAT
    weights: int = 0
    records: int = 0
    time: float = 0.0
    unknown: tuple[str, ...] = field(default=())

    @property
    def arm(self) -> str:
        """The name of the arm's folder."""
        return self.slot.arm_folder.name

    @property
    def seed(self) -> int:
        """The seed."""
        return int(self.slot.folder.name.removeprefix("seed-"))

    @property
    def key(self) -> tuple[str, str]:
        """The names of the two folders that name the trial in a run's records."""
        return self.arm, self.slot.folder.name

    @property
    def name(self) -> str:
        """The trial's name in messages."""
        return f"{self.arm} seed {self.seed}"

    @property
    def size(self) -> int:
        """Its bytes on disk."""
        return self.weights + self.records

    @property
    def has_other_format(self) -> bool:
        """Whether another version has finished the trial, whose records are not used."""
        return self.state is TrialState.done and self.record_format != seal.FORMAT

    @property
    def is_newer(self) -> bool:
        """Whether a newer version has written the trial."""
        return isinstance(self.record_format, int) and self.record_format > seal.FORMAT


def scan_trials(trials_folder: Path, usage: DiskUsage) -> Iterator[StoredTrial]:
    """Yield the trials of an experiment; folders that hold none are left out.

    No link is followed. Only the status of a trial is read.
    """
    for arm in list_names(trials_folder) if is_own_folder(trials_folder) else ():
        if arm.startswith(".") or not is_own_folder(trials_folder / arm):
            continue
        for name in list_names(trials_folder / arm):
            folder = trials_folder / arm / name
            if SEED.fullmatch(name) and is_own_folder(folder) and is_trial(folder):
                yield read_trial(Slot(folder), usage)


def is_trial(folder: Path) -> bool:
    """Return whether a folder holds more than the remains of a deleted trial."""
    return not {*list_names(folder)} <= REMAINING


def read_trial(slot: Slot, usage: DiskUsage) -> StoredTrial:
    """Return a trial with its present files."""
    names = list_names(slot.folder)
    status = slot.status()
    before = len(usage.links)
    checkpoints = [each.folder / CHECKPOINTS for each in (slot, slot.previous)]
    weights = sum(map(usage.measure, checkpoints))
    records = usage.measure(slot.folder, without=checkpoints)
    links = usage.links[before:]
    unknown = [name for name in names if name not in OWN_NAMES and not OWN_PATTERN.fullmatch(name)]
    unknown += [os.path.relpath(path, slot.folder) for path in links]
    return StoredTrial(
        slot=slot,
        state=read_state(slot, status["state"], names),
        code=str(status.get("code") or ""),
        record_format=status.get("format"),
        weights=weights,
        records=records,
        time=modification_time(slot.folder),
        unknown=tuple(sorted({*unknown})),
    )


def read_state(slot: Slot, state: str, names: list[str]) -> TrialState:
    """Return the state of a trial, given that of its status and the names in its folder."""
    if LOCK in names and not locks.is_free(slot.folder / LOCK):
        return TrialState.running
    if state in FINISHED:
        return TrialState.done
    return TrialState.failed if state == "failed" else TrialState.interrupted


def modification_time(folder: Path) -> float:
    """Return when the status of a trial was written last, else its folder; 0 if it is missing."""
    for path in (folder / STATUS, folder):
        try:
            return os.lstat(path).st_mtime
        except OSError:
            continue
    return 0.0
