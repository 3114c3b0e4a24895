"""The runs of an experiment on disk, and the trials that they refer to."""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.inventory.disk_usage import DiskUsage
from runner.records.files import list_names, read_bytes
from runner.report.run_cards import RUNS, describe_time, is_own_file, is_own_folder
from runner.report.run_folder import SUMMARY_FILE, TUNING_FILE

MAX_SUMMARY_BYTES = 64 * 2**20
TRIAL_PATH = re.compile(r"([^/\\]+)[/\\](seed-\d+)(?:[/\\]previous)?[/\\]?$")

TrialKey = tuple[str, str]
"""The names of an arm's folder and of a trial's folder, `seed-<k>`."""


@dataclass(frozen=True)
class StoredRun:
    """One run on disk.

    Attributes:
        name: the name of its folder.
        size: its bytes on disk.
        time: its date and time, as text.
        trials: the trials that it refers to.
        is_tuned: whether it refers to trials of a tuning, too.
        fault: why its trials are unknown; "" if they are known.
    """

    name: str
    size: int
    time: str
    trials: frozenset[TrialKey] = frozenset()
    is_tuned: bool = False
    fault: str = ""


def scan_runs(experiment_folder: Path, usage: DiskUsage) -> list[StoredRun]:
    """Return the runs of an experiment, the oldest first. A link is not followed."""
    runs = experiment_folder / RUNS
    names = [name for name in list_names(runs) if not name.startswith(".")]
    if os.path.islink(runs):  # noqa: PTH114
        return [StoredRun(RUNS, 0, "", fault=f"{RUNS} is a link")]
    return [read_run(runs / name, usage) for name in names]


def read_run(folder: Path, usage: DiskUsage) -> StoredRun:
    """Return a run with the trials that its study.json names."""
    if not is_own_folder(folder):
        fault = f"{RUNS}/{folder.name} is a link" if os.path.islink(folder) else ""  # noqa: PTH114
        return StoredRun(folder.name, 0, "", fault=fault)
    trials, fault = read_references(folder)
    return StoredRun(
        name=folder.name,
        size=usage.measure(folder),
        time=describe_time(folder),
        trials=trials,
        is_tuned=os.path.lexists(folder / TUNING_FILE),
        fault=f"{RUNS}/{folder.name}: {fault}" if fault else "",
    )


def read_references(folder: Path) -> tuple[frozenset[TrialKey], str]:
    """Return the trials that a run refers to, and why they are unknown.

    A run without study.json refers to none: its report was not finished.
    """
    if not os.path.lexists(folder / SUMMARY_FILE):
        return frozenset(), ""
    if not is_own_file(folder, SUMMARY_FILE):
        return frozenset(), f"{SUMMARY_FILE} is not a regular file"
    try:
        record = json.loads(read_bytes(folder / SUMMARY_FILE, MAX_SUMMARY_BYTES))
    except (OSError, ValueError, RecursionError):
        return frozenset(), f"{SUMMARY_FILE} cannot be read"
    trials = record.get("trials") if isinstance(record, dict) else None
    if not isinstance(trials, list) or not trials:
        return frozenset(), f"{SUMMARY_FILE} names no trials"
    keys = [trial_key(trial) for trial in trials]
    if any(key is None for key in keys):
        return frozenset(), f"{SUMMARY_FILE} has a trial without a folder"
    return frozenset(key for key in keys if key is not None), ""


def trial_key(trial: Any) -> TrialKey | None:
    """Return the folders that a row of study.json names; None if it names none.

    Only the end of the path counts, so that a moved run still protects its trials.
    """
    folder = trial.get("folder") if isinstance(trial, dict) else None
    match = TRIAL_PATH.search(folder) if isinstance(folder, str) else None
    return (match[1], match[2]) if match else None


def referenced_trials(runs: Iterable[StoredRun]) -> frozenset[TrialKey]:
    """Return the trials that any of these runs refers to."""
    return frozenset(key for run in runs for key in run.trials)
