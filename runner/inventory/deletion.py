"""Delete trials and weights so that a kill at any moment leaves no half of a trial. No torch.

A trial's folder is moved to `trials/.pruned-<id>/<arm>/<seed>` in one step. It is deleted there,
after all locks are released. The next prune deletes the rest that a killed one has left.

The file `first.json` of a finished trial remains: the time of its first finish. So a claim that is
written later still counts as written after these results. A report still names the seeds that were
computed and are left out.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from runner.inventory.disk_usage import DiskUsage
from runner.inventory.inventory import (
    GRAVE_PREFIX,
    ExperimentInventory,
    take_experiment_inventory,
)
from runner.inventory.prune_plan import Deletion, PrunePlan, PruneRequest, make_prune_plan
from runner.inventory.stored_trials import SEED, StoredTrial
from runner.records import locks
from runner.records.arm_folders import ARM, SIGNATURE
from runner.records.checkpoint_files import keep_weights, raise_blocked
from runner.records.files import is_folder, link_or_copy, list_names
from runner.records.store import FIRST_FINISH, LOCK, Store
from runner.study.store_use import acquire_with_notice, reserve_trials


def prune_experiment(listed: PrunePlan, request: PruneRequest) -> PrunePlan:
    """Delete the listed paths that may still be deleted; return the plan with these deletions.

    The trials and runs are read again under the locks of the store, since a command may have
    started or finished in the meantime.

    Raises:
        OSError: the store cannot be written.
    """
    experiment = listed.experiment
    root = Store.trials_folder(experiment.folder.parent, experiment.name)
    notes: list[str] = []
    moved: list[Deletion] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(acquire_with_notice(FileLock(root / ".lock")))
        in_use = stack.enter_context(reserve_trials(experiment.folder.parent, experiment.name))
        now = make_prune_plan(read_again(experiment), request, in_use)
        paths = {deletion.path for deletion in listed.deletions}
        grave = root / f"{GRAVE_PREFIX}{uuid.uuid4().hex[:12]}"
        grave.mkdir()
        for deletion in now.deletions:
            if deletion.path not in paths:
                continue
            with lock_for_deletion(deletion.trial) as reason:
                if reason:
                    notes.append(f"{deletion.trial.name} {reason}: it stays")
                else:
                    bury(deletion, grave)
                    moved.append(deletion)
        arms = {each.trial.slot.arm_folder for each in moved if each.is_whole}
        for each in experiment.graves:
            arms |= restore_first_finishes(each, root)
        for folder in arms if not in_use else ():
            bury_empty_arm(folder, grave)
    for folder in (*experiment.graves, grave):
        shutil.rmtree(folder, ignore_errors=True)
    return PrunePlan(now.experiment, tuple(moved), tuple(dict.fromkeys([*now.notes, *notes])))


def read_again(experiment: ExperimentInventory) -> ExperimentInventory:
    """Return the trials and runs of an experiment as they are now."""
    return take_experiment_inventory(experiment.folder, DiskUsage())


@contextlib.contextmanager
def lock_for_deletion(trial: StoredTrial) -> Iterator[str]:
    """Hold the lock of a trial; yield "", or why it cannot be held."""
    with contextlib.ExitStack() as stack:
        reason = ""
        try:
            descriptor = stack.enter_context(locks.open_lock_file(trial.slot.folder / LOCK))
            locks.lock(descriptor, exclusive=True, on_wait=raise_blocked)
        except BlockingIOError:
            reason = "is running"
        except OSError as error:
            reason = f"cannot be locked ({error.strerror or error})"
        yield reason


def bury(deletion: Deletion, grave: Path) -> None:
    """Move a path into a folder of deleted files, in one step.

    Raises:
        OSError: it cannot be moved.
    """
    trial = deletion.trial
    if deletion.is_state:
        keep_weights(deletion.path.parents[1])  # which also renews the digests
        return
    if not deletion.is_whole:
        number = len(list_names(grave))
        deletion.path.rename(grave / f"{number}-{deletion.path.name}")
        return
    trial.slot.write_first_finish()  # stores of earlier versions have none
    target = grave / trial.arm / trial.slot.folder.name
    target.parent.mkdir(exist_ok=True)
    trial.slot.folder.rename(target)
    restore_first_finish(target, trial.slot.folder)


def restore_first_finish(buried: Path, slot_folder: Path) -> None:
    """Put `first.json` of a deleted trial back, if the trial was ever finished."""
    if not (buried / FIRST_FINISH).is_file() or os.path.lexists(slot_folder / FIRST_FINISH):
        return
    slot_folder.mkdir(parents=True, exist_ok=True)
    draft = slot_folder / f".{FIRST_FINISH}.{uuid.uuid4().hex[:12]}"
    link_or_copy(buried / FIRST_FINISH, draft)
    draft.replace(slot_folder / FIRST_FINISH)


def restore_first_finishes(grave: Path, root: Path) -> set[Path]:
    """Put back the `first.json` of each trial that a killed prune has moved.

    Returns:
        The folders of the arms of these trials.
    """
    arms = set()
    for arm in list_names(grave):
        for seed in list_names(grave / arm):
            if SEED.fullmatch(seed) and is_folder(root / arm):
                restore_first_finish(grave / arm / seed, root / arm / seed)
                arms.add(root / arm)
    return arms


def bury_empty_arm(folder: Path, grave: Path) -> None:
    """Move the folder of an arm without trials, of which only the arm's config is left."""
    if {*list_names(folder)} <= {ARM, SIGNATURE}:
        folder.rename(grave / f".arm-{folder.name}")
