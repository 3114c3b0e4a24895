"""The choice of the paths that `store prune` deletes: unneeded trials, and weights. No torch.

A trial stays if a run refers to it, if it is running, or if it holds a link or an unknown file. A
run needs no weights of a finished trial: its reports are made from the trial's other records.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.inventory.disk_usage import measure_all
from runner.inventory.inventory import ExperimentInventory
from runner.inventory.stored_trials import StoredTrial, TrialState
from runner.records.checkpoint_files import STATE, steps
from runner.records.files import list_names
from runner.records.store import CHECKPOINTS
from runner.study.store_use import IN_USE
from runner.wording.names import format_count
from runner.wording.output import truncate_middle

KEEP_WEIGHTS = ("all", "best", "none")
BEST_METRIC = "val/loss"
DRAFTS = (".draft", ".skipped-")
"""The beginnings of the names of a checkpoint's drafts and of skipped checkpoints."""


@dataclass(frozen=True)
class PruneRequest:
    """The user's choice.

    Attributes:
        unreferenced: whether to delete trials that no run refers to.
        keep_weights: all, best or none: the finished trials that keep their weights; None keeps
            everything.
        min_age: the least age of a trial in seconds, by its last status.
    """

    unreferenced: bool = False
    keep_weights: str | None = None
    min_age: float = 0.0


@dataclass(frozen=True)
class Deletion:
    """A path below a trial's folder to delete.

    Attributes:
        trial: the trial.
        path: its folder, or a part of its checkpoints.
        size: the bytes of the path on disk.
    """

    trial: StoredTrial
    path: Path
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether the whole trial is deleted."""
        return self.path == self.trial.slot.folder

    @property
    def is_state(self) -> bool:
        """Whether it is the state of the optimizer, without the weights."""
        return self.path.name == STATE


@dataclass(frozen=True)
class PrunePlan:
    """The deletions in one experiment, and lines on the trials that stay, with the reasons."""

    experiment: ExperimentInventory
    deletions: tuple[Deletion, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def size(self) -> int:
        """The bytes that the deletions free."""
        return sum(deletion.size for deletion in self.deletions)

    @property
    def whole(self) -> list[Deletion]:
        """The deletions of whole trials."""
        return [deletion for deletion in self.deletions if deletion.is_whole]

    @property
    def weights(self) -> list[Deletion]:
        """The deletions of weights and other parts of checkpoints."""
        return [deletion for deletion in self.deletions if not deletion.is_whole]


def make_prune_plan(
    inventory: ExperimentInventory, request: PruneRequest, in_use: str = ""
) -> PrunePlan:
    """Return the deletions in one experiment.

    `in_use` is why its unreferenced trials must stay: a study may need them for its report.
    """
    notes: list[str] = []
    candidates = [trial for trial in inventory.trials if can_touch(trial, notes)]
    old = [trial for trial in candidates if time.time() - trial.time >= request.min_age]
    whole: list[StoredTrial] = []
    if request.unreferenced:
        unreferenced = {trial.key for trial in inventory.unreferenced}
        whole = [trial for trial in old if trial.key in unreferenced]
        reason = in_use or inventory.unknown_references
        if whole and reason:
            trials = format_count(len(whole), "trial")
            notes.insert(0, f"no run refers to {trials}, but {reason}: they stay")
            whole = []
    deletions = [Deletion(trial, trial.slot.folder, trial.size) for trial in whole]
    if request.keep_weights:
        deleted_keys = {trial.key for trial in whole}
        rest = [t for t in old if t.key not in deleted_keys and t.state is TrialState.done]
        staying = [trial for trial in candidates if trial.key not in deleted_keys]
        kept_keys = {trial.key for trial in choose_kept(staying, request.keep_weights)}
        for trial in rest:
            if not trial.has_other_format:
                paths = removable_parts(
                    trial, is_kept=trial.key in kept_keys, keeps_all=request.keep_weights == "all"
                )
                deletions += [Deletion(trial, path, measure_all([path])) for path in paths]
    return PrunePlan(inventory, tuple(deletions), tuple(notes))


def in_use_reason(inventory: ExperimentInventory) -> str:
    """Return why unreferenced trials must stay while a command uses them; "" if none does."""
    return IN_USE if inventory.in_use else ""


def can_touch(trial: StoredTrial, notes: list[str]) -> bool:
    """Return whether a trial may be deleted or changed; if not, a note says why."""
    if trial.state is TrialState.running:
        notes.append(f"{trial.name} is running: it stays")
    elif trial.unknown:
        name = truncate_middle(trial.unknown[0], 80)
        notes.append(f"{trial.name} holds {name}, which is not ablab's: it stays")
    elif trial.is_newer:
        notes.append(f"{trial.name} was written by a newer version of ablab: it stays")
    else:
        return True
    return False


def choose_kept(trials: Sequence[StoredTrial], keep: str) -> list[StoredTrial]:
    """Return the finished trials that keep their weights.

    With `best` this is one trial of each arm: the trial with the lowest `BEST_METRIC` that did
    not diverge. Where no trial has the metric, it is the first seed.
    """
    done = [trial for trial in trials if trial.state is TrialState.done]
    if keep != "best":
        return done if keep == "all" else []
    by_arm: dict[Path, list[StoredTrial]] = {}
    for trial in done:
        if trial.weights:
            by_arm.setdefault(trial.slot.arm_folder, []).append(trial)
    return [min(group, key=lambda trial: (loss_of(trial), trial.seed)) for group in by_arm.values()]


def loss_of(trial: StoredTrial) -> float:
    """Return the final `BEST_METRIC` of a trial; infinity if it has none or diverged."""
    records = trial.slot.read_records()
    if records.result is None or records.status["state"] != "done":
        return math.inf
    values = {row["metric"]: row["value"] for row in records.result["results"]}
    value = float(values.get(BEST_METRIC, math.inf))
    return value if math.isfinite(value) else math.inf


def removable_parts(trial: StoredTrial, *, is_kept: bool, keeps_all: bool) -> list[Path]:
    """Return the parts of a finished trial's checkpoints that can go.

    A trial that keeps its weights loses the state of the optimizer, which nothing reads again.
    Unless all weights stay, the weights of other code in `previous/` go, too.
    """
    own, previous = (each.folder / CHECKPOINTS for each in (trial.slot, trial.slot.previous))
    parts = [] if keeps_all else [previous / f"step-{step}" for step in steps(previous)]
    parts += [own / name for name in list_names(own) if name.startswith(DRAFTS)]
    for step in steps(own):
        folder = own / f"step-{step}"
        if not is_kept or step != steps(own)[-1]:
            parts.append(folder)
        elif STATE in list_names(folder):
            parts.append(folder / STATE)
    return parts
