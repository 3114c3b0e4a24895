"""Predict the time and the disk space of trials from earlier ones. Imports no torch.

A store may hold many trials, and the first line of a command must not wait for them. So only a
sample is read: `N_OWN` trials of each arm to compute, and `N_OTHER` trials of other arms.
"""

import json
import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import registry
from runner.plan import estimates
from runner.plan.plan import PlannedArm
from runner.records.arm_folders import read_arm_record
from runner.records.checkpoint_files import STATE
from runner.records.files import read_json
from runner.records.store import CHECKPOINTS, RESULT, Slot, Store

N_OWN, N_OTHER = 4, 24
SIMILAR = 8  # times as many FLOPs, or as few, are of a similar length
MAX_READ = 400  # results that are read, regardless of the number of arms
BYTES_PER_NUMBER, BYTES_OF_RECORDS = 4, 400_000
"""A finished trial keeps a weight per parameter. The last is the size of its other files."""
NUMBERS_PER_PARAMETER, N_CHECKPOINTS = 3, 2
"""A checkpoint of a running trial has a weight and two moments per parameter; it keeps two."""


@dataclass(frozen=True)
class PastTrial:
    """A finished trial of the store.

    Attributes:
        signature: the signature of its arm.
        seconds: the time that it took.
        timing_seconds: the part of it for the timing stage; 0 if it had none, or if unknown.
        n_bytes: the size of its folder.
        training_flops: see `count_training_flops`; 0 if unknown.
    """

    signature: str
    seconds: float
    n_bytes: int
    training_flops: float
    timing_seconds: float = 0.0


def load_past_trials(
    outputs: Path, experiment: str, arms: Iterable[PlannedArm] = ()
) -> list[PastTrial]:
    """Return a sample of an experiment's finished trials in the store, computed by any code.

    The trials of `arms` come first, then those of the other arms, spread over the arms.
    """
    store = Store(outputs, experiment)
    own_signatures = list(dict.fromkeys(arm.signature for arm in arms))
    others = [known for known, _ in store.arms.items() if known not in set(own_signatures)]
    own = sample_slots(store, own_signatures, N_OWN, MAX_READ)
    other = sample_slots(store, others, N_OWN, N_OTHER)
    trials = [read_past_trial(known, slot) for known, slot in [*own, *other]]
    return [trial for trial in trials if trial is not None]


def sample_slots(
    store: Store, signatures: Sequence[str], per_arm: int, most: int
) -> list[tuple[str, Slot]]:
    """Return slots with the signature of their arm: the last seeds of each arm, at most `most`."""
    if len(signatures) > most:  # evenly spread
        signatures = signatures[:: math.ceil(len(signatures) / most)]
    by_arm = {
        known: [slot for slot in reversed(slots.values()) if (slot.folder / RESULT).exists()]
        for known in signatures
        if (slots := store.slots_by_seed(known))
    }
    pairs = [
        (known, slots[rank])
        for rank in range(per_arm)
        for known, slots in by_arm.items()
        if rank < len(slots)
    ]
    return pairs[:most]


def read_past_trial(arm_signature: str, slot: Slot) -> PastTrial | None:
    """Return a finished trial; None if its result holds no time."""
    result = read_json(slot.folder / RESULT) or {}
    seconds = finite_or_zero(result.get("seconds"))
    if seconds <= 0:
        return None
    arm = read_arm_record(slot.arm_folder) or {}
    work = count_training_flops(arm.get("config"), recorded_flops(result))
    timing = max(0.0, seconds - finite_or_zero(result.get("run_seconds", seconds)))
    return PastTrial(arm_signature, seconds, folder_bytes(slot.folder), work, timing)


def predict_seconds(arm: PlannedArm, past_trials: Sequence[PastTrial]) -> float | None:
    """Predict the seconds of a trial; None if no earlier trial allows a prediction.

    The prediction is the mean time of the arm's own trials. If the arm has none, it is the arm's
    training FLOPs times the median seconds per FLOP of other trials of a similar length. In much
    shorter ones the start takes most of the time.
    """
    own_trials = [trial.seconds for trial in past_trials if trial.signature == arm.signature]
    if own_trials:
        return statistics.fmean(own_trials)
    work = planned_flops(arm)
    rates = [
        trial.seconds / trial.training_flops
        for trial in past_trials
        if trial.training_flops and 1 / SIMILAR < work / trial.training_flops < SIMILAR
    ]
    return work * statistics.median(rates) if rates and work else None


def timing_share(past_trials: Sequence[PastTrial]) -> float | None:
    """Return the share of a trial's seconds that its timing takes; None without such a trial."""
    shares = [t.timing_seconds / t.seconds for t in past_trials if t.timing_seconds]
    return statistics.fmean(shares) if shares else None


def planned_flops(arm: PlannedArm) -> float:
    """Return the training FLOPs of a planned trial; 0 if unknown."""
    return count_training_flops(json.loads(arm.signature_text)["config"], arm_flops(arm))


def predict_bytes(arm: PlannedArm, past_trials: Sequence[PastTrial]) -> float:
    """Predict the bytes of a finished trial on disk.

    The prediction is the mean size of the arm's own trials, else of all trials. If there are none,
    it is the size of its weights plus `BYTES_OF_RECORDS`.
    """
    own_trials = [trial.n_bytes for trial in past_trials if trial.signature == arm.signature]
    if own_trials or past_trials:
        return statistics.fmean(own_trials or [trial.n_bytes for trial in past_trials])
    return BYTES_OF_RECORDS + BYTES_PER_NUMBER * count_stored_parameters(arm)


def predict_running_bytes(arm: PlannedArm) -> float:
    """Predict the bytes of the checkpoints that a trial keeps while it runs."""
    n_numbers = NUMBERS_PER_PARAMETER * N_CHECKPOINTS * count_stored_parameters(arm)
    return BYTES_PER_NUMBER * n_numbers


def count_stored_parameters(arm: PlannedArm) -> float:
    """Return the number of parameters that a checkpoint of an arm holds, at least."""
    memory = estimates.least_memory(arm.config).total
    n_parameters = memory / (NUMBERS_PER_PARAMETER + 1) / BYTES_PER_NUMBER
    return min(n_parameters, arm_cost(arm, "params"))


def arm_cost(arm: PlannedArm, by: str) -> float:
    """Return one cost of an arm, by its name in `match.by`; 0 if its parts declare no costs."""
    try:
        return registry.costs(vars(arm.config.parts))[by]
    except ValueError:
        return 0.0


def arm_flops(arm: PlannedArm) -> float:
    """Return the FLOPs of a forward pass per token."""
    return arm_cost(arm, "flops")


def recorded_flops(result: Mapping[str, Any]) -> float:
    """Return the FLOPs per token that a finished trial recorded; 0 if it recorded none."""
    rows = result.get("results")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("metric") == "cost/flops_per_token":
            return finite_or_zero(row.get("value"))
    return 0.0


def finite_or_zero(value: object) -> float:
    """Return a finite number of at least 0; for any other value of a damaged record return 0."""
    try:
        number = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:  # a whole number of 400 digits
        return 0.0
    return number if 0 <= number < math.inf else 0.0


def count_training_flops(config: object, flops_per_token: float) -> float:
    """Return the FLOPs of a training's forward passes: steps x batch size x length x FLOPs/token.

    Return 0 if a factor is missing.
    """
    sections = config if isinstance(config, Mapping) else {}
    training, task = sections.get("training"), sections.get("task", {})
    if not isinstance(training, Mapping) or not isinstance(task, Mapping):
        return 0.0
    factors = (training.get("steps"), training.get("batch_size"), task.get("length", 1))
    return finite_or_zero(math.prod(map(finite_or_zero, factors)) * flops_per_token)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of a trial's files, without the state that only a resumed training needs."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            if name == STATE and Path(parent).parent.name == CHECKPOINTS:
                continue  # earlier versions kept it
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
            except OSError:  # deleted in the meantime
                continue
    return total
