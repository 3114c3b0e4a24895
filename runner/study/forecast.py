"""Predict the time and the disk space of trials from earlier ones. Imports no torch."""

import json
import math
import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner import registry
from runner.plan import estimates
from runner.plan.plan import PlannedArm
from runner.records.files import read_json
from runner.records.store import ARM, RESULT, Store

BYTES_PER_NUMBER, NUMBERS_PER_PARAMETER, BYTES_OF_RECORDS = 4, 3, 400_000
"""A checkpoint has a weight and two moments per parameter. The last is the size of other files."""


@dataclass(frozen=True)
class PastTrial:
    """A finished trial of the store.

    Attributes:
        signature: the signature of its arm.
        seconds: the time that it took.
        n_bytes: the size of its folder.
        training_flops: see `count_training_flops`; 0 if unknown.
    """

    signature: str
    seconds: float
    n_bytes: int
    training_flops: float


def load_past_trials(outputs: Path, experiment: str) -> list[PastTrial]:
    """Return the finished trials of an experiment in the store, of all arms and any code."""
    trials = []
    root = Store.trials_folder(outputs, experiment)
    for record in sorted(root.glob(f"*/{ARM}")):
        arm = read_json(record) or {}
        for path in record.parent.glob(f"seed-*/{RESULT}"):
            result = read_json(path) or {}
            seconds = finite_or_zero(result.get("seconds"))
            if seconds > 0:
                signature = record.parent.name.rpartition("-")[2]
                work = count_training_flops(arm.get("config"), recorded_flops(result))
                trials.append(PastTrial(signature, seconds, folder_bytes(path.parent), work))
    return trials


def predict_seconds(arm: PlannedArm, past_trials: list[PastTrial]) -> float | None:
    """Predict the seconds of a trial; None if no earlier trial allows a prediction.

    The prediction is the mean time of the arm's own trials. If the arm has none, it is the arm's
    training FLOPs times the median seconds per FLOP of the other trials.
    """
    own_trials = [trial.seconds for trial in past_trials if trial.signature == arm.signature]
    if own_trials:
        return statistics.fmean(own_trials)
    work = count_training_flops(json.loads(arm.signature_text)["config"], arm_flops(arm))
    rates = [trial.seconds / trial.training_flops for trial in past_trials if trial.training_flops]
    return work * statistics.median(rates) if rates and work else None


def predict_bytes(arm: PlannedArm, past_trials: list[PastTrial]) -> float:
    """Predict the bytes of a trial on disk.

    The prediction is the mean size of the arm's own trials, else of all trials. If there are none,
    it is the size of a checkpoint plus `BYTES_OF_RECORDS`.
    """
    own_trials = [trial.n_bytes for trial in past_trials if trial.signature == arm.signature]
    if own_trials or past_trials:
        return statistics.fmean(own_trials or [trial.n_bytes for trial in past_trials])
    memory = estimates.least_memory(arm.config).total
    n_parameters = memory / (NUMBERS_PER_PARAMETER + 1) / BYTES_PER_NUMBER
    bytes_per_parameter = NUMBERS_PER_PARAMETER * BYTES_PER_NUMBER
    n_bytes = bytes_per_parameter * min(n_parameters, arm_cost(arm, "params"))
    return BYTES_OF_RECORDS + n_bytes


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
    """Return the bytes of all files below a folder."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
            except OSError:  # deleted in the meantime
                continue
    return total
