"""The contents of a folder of outputs: for each experiment its trials, runs and sizes."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.inventory.disk_usage import DiskUsage
from runner.inventory.stale_code import CurrentCode
from runner.inventory.stored_runs import StoredRun, referenced_trials, scan_runs
from runner.inventory.stored_trials import StoredTrial, TrialState, scan_trials
from runner.records.arm_folders import read_arm_record
from runner.records.files import list_names
from runner.records.store import Store
from runner.report import latest_run
from runner.report.run_cards import RUNS, SWEEPS, is_own_folder, list_experiment_folders
from runner.study.store_use import is_in_use

GRAVE_PREFIX = ".pruned-"
"""A folder of deleted trials, among the trials; a killed command leaves it."""


@dataclass(frozen=True)
class ExperimentInventory:
    """The trials and runs of one experiment.

    Attributes:
        name: the name of its folder.
        folder: that folder.
        trials: its trials.
        runs: its runs, the oldest first.
        referenced: the trials that a run refers to.
        stale: the trials of code that has changed since.
        graves: folders of trials whose deletion was interrupted.
        other: the bytes of everything else.
        links: links and other entries that are not followed.
        in_use: whether a command uses its trials now.
    """

    name: str
    folder: Path
    trials: tuple[StoredTrial, ...]
    runs: tuple[StoredRun, ...]
    referenced: frozenset[tuple[str, str]]
    stale: frozenset[tuple[str, str]] = frozenset()
    graves: tuple[Path, ...] = ()
    other: int = 0
    links: tuple[str, ...] = ()
    in_use: bool = False

    @property
    def unreferenced(self) -> list[StoredTrial]:
        """The trials that no run refers to, without the running ones."""
        return [
            trial
            for trial in self.trials
            if trial.key not in self.referenced and trial.state is not TrialState.running
        ]

    @property
    def weights(self) -> int:
        """The bytes of all checkpoints."""
        return sum(trial.weights for trial in self.trials)

    @property
    def records(self) -> int:
        """The bytes of the trials' other records."""
        return sum(trial.records for trial in self.trials)

    @property
    def reports(self) -> int:
        """The bytes of all run folders."""
        return sum(run.size for run in self.runs)

    @property
    def unknown_references(self) -> str:
        """Why the trials of a run are unknown; "" if all are known."""
        return next((run.fault for run in self.runs if run.fault), "")

    def count(self, state: TrialState) -> int:
        """Return the number of trials in a state."""
        return sum(trial.state is state for trial in self.trials)


@dataclass(frozen=True)
class Inventory:
    """The contents of a folder of outputs: its experiments, sweeps and other files.

    Attributes:
        links: the names of links in the folder, which are not followed.
        chosen: the only experiment that the user asks for; "" for all.
    """

    outputs: Path
    experiments: tuple[ExperimentInventory, ...]
    n_sweeps: int = 0
    sweeps: int = 0
    other: int = 0
    links: tuple[str, ...] = ()
    chosen: str = ""


def take_inventory(outputs: Path, plugins: Sequence[str] = ()) -> Inventory:
    """Return the contents of a folder of outputs. `plugins` are the modules of `plugins=[...]`."""
    usage, code = DiskUsage(), CurrentCode(plugins)
    names = list_experiment_folders(outputs)
    experiments = tuple(take_experiment_inventory(outputs / name, usage, code) for name in names)
    code.save()
    sweeps = outputs / SWEEPS
    others = {*list_names(outputs)} - {*names, SWEEPS}
    return Inventory(
        outputs=outputs,
        experiments=experiments,
        n_sweeps=sum(is_own_folder(sweeps / name) for name in list_names(sweeps)),
        sweeps=usage.measure(sweeps),
        other=sum(usage.measure(outputs / name) for name in others),
        links=tuple(sorted(name for name in others if os.path.islink(outputs / name))),  # noqa: PTH114
    )


def take_experiment_inventory(
    folder: Path, usage: DiskUsage, code: CurrentCode | None = None
) -> ExperimentInventory:
    """Return the trials and runs of an experiment; stale trials only if `code` is given."""
    trials_folder = Store.trials_folder(folder.parent, folder.name)
    before = len(usage.links)
    trials = tuple(scan_trials(trials_folder, usage))
    runs = tuple(scan_runs(folder, usage))
    counted = [trial.slot.folder for trial in trials] + [folder / RUNS / run.name for run in runs]
    other = usage.measure(folder, without=counted)
    latest = os.fspath(folder / latest_run.NAME)
    return ExperimentInventory(
        name=folder.name,
        folder=folder,
        trials=trials,
        runs=runs,
        referenced=referenced_trials(runs) | tuning_trials(trials, runs),
        stale=find_stale_trials(trials, code) if code else frozenset(),
        graves=tuple(
            trials_folder / name
            for name in list_names(trials_folder)
            if name.startswith(GRAVE_PREFIX) and is_own_folder(trials_folder / name)
        ),
        other=other,
        links=tuple(link for link in usage.links[before:] if link != latest),
        in_use=is_in_use(folder.parent, folder.name),
    )


def tuning_trials(
    trials: Sequence[StoredTrial], runs: Collection[StoredRun]
) -> frozenset[tuple[str, str]]:
    """Return the trials of tunings, if a run of the experiment was tuned.

    A run lists the values of its tuning, but not the folders of these trials.
    """
    if not any(run.is_tuned for run in runs):
        return frozenset()
    folders = {trial.slot.arm_folder for trial in trials}
    tuned = {folder for folder in folders if is_tuning_arm(folder)}
    return frozenset(trial.key for trial in trials if trial.slot.arm_folder in tuned)


def is_tuning_arm(folder: Path) -> bool:
    """Return whether an arm was evaluated on the data of a tuning."""
    record = read_arm_record(folder)
    return record is not None and "evaluation" in record["config"]


def find_stale_trials(
    trials: Sequence[StoredTrial], code: CurrentCode
) -> frozenset[tuple[str, str]]:
    """Return the finished trials of other code than the current one, where that is known."""
    current = {folder: code.find_hash(folder) for folder in {t.slot.arm_folder for t in trials}}
    return frozenset(
        trial.key
        for trial in trials
        if trial.state is TrialState.done
        and not trial.has_other_format
        and current[trial.slot.arm_folder] not in (None, trial.code)
    )


def describe_link(path: str, outputs: Path) -> str:
    """Return a path as it is shown to the user, relative to the folder of outputs."""
    return os.path.relpath(path, outputs)
