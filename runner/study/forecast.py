"""What earlier trials of an experiment tell of the next: seconds and bytes on disk. No torch."""

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

BYTES_OF_A_NUMBER, STATES, RECORDS = 4, 3, 400_000
"""Of a checkpoint: a number's bytes, a weight and its two moments; of all else in a trial."""


@dataclass(frozen=True)
class PastTrial:
    """A finished trial: what it took, its size on disk, and how much it had to compute."""

    signature: str
    seconds: float
    n_bytes: int
    training_flops: float


def load_past_trials(outputs: Path, experiment: str) -> list[PastTrial]:
    """The finished trials that lie in the store, whatever code and arm they are of."""
    found = []
    root = Store.trials_folder(outputs, experiment)
    for record in sorted(root.glob(f"*/{ARM}")):
        arm = read_json(record) or {}
        for path in record.parent.glob(f"seed-*/{RESULT}"):
            result = read_json(path) or {}
            seconds = finite_or_zero(result.get("seconds"))
            if seconds > 0:
                signature = record.parent.name.rpartition("-")[2]
                work = count_training_flops(arm.get("config"), flops_of(result))
                found.append(PastTrial(signature, seconds, size(path.parent), work))
    return found


def predict_seconds(arm: PlannedArm, past: list[PastTrial]) -> float | None:
    """The seconds of a trial: as the arm's own took, else scaled from others by training FLOPs.

    None where no trial of the experiment tells.
    """
    own = [trial.seconds for trial in past if trial.signature == arm.signature]
    if own:
        return statistics.fmean(own)
    work = count_training_flops(json.loads(arm.signature_text)["config"], flops(arm))
    rates = [trial.seconds / trial.training_flops for trial in past if trial.training_flops]
    return work * statistics.median(rates) if rates and work else None


def predict_bytes(arm: PlannedArm, past: list[PastTrial]) -> float:
    """Bytes of a trial on disk: as the arm's own, as others', or by the numbers of a checkpoint."""
    own = [trial.n_bytes for trial in past if trial.signature == arm.signature]
    if own or past:
        return statistics.fmean(own or [trial.n_bytes for trial in past])
    parameters = estimates.least_memory(arm.config).total / (STATES + 1) / BYTES_OF_A_NUMBER
    return RECORDS + STATES * BYTES_OF_A_NUMBER * min(parameters, arm_cost(arm, "params"))


def arm_cost(arm: PlannedArm, by: str) -> float:
    """One cost of an arm; 0 for parts whose cost nobody has registered."""
    try:
        return registry.costs(vars(arm.config.parts))[by]
    except ValueError:
        return 0.0


def flops(arm: PlannedArm) -> float:
    """FLOPs of a forward pass for each token."""
    return arm_cost(arm, "flops")


def flops_of(result: Mapping[str, Any]) -> float:
    """The same of a finished trial, as it recorded it; 0 where it did not."""
    rows = result.get("results")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("metric") == "cost/flops_per_token":
            return finite_or_zero(row.get("value"))
    return 0.0


def finite_or_zero(value: object) -> float:
    """A finite number of at least 0; 0 for whatever else stands in a record that is damaged."""
    try:
        found = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:  # a whole number of 400 digits
        return 0.0
    return found if 0 <= found < math.inf else 0.0


def count_training_flops(config: object, flops_per_token: float) -> float:
    """What a training has to compute, in FLOPs of forward passes; 0 where it is not known."""
    sections = config if isinstance(config, Mapping) else {}
    training, task = sections.get("training"), sections.get("task", {})
    if not isinstance(training, Mapping) or not isinstance(task, Mapping):
        return 0.0
    factors = (training.get("steps"), training.get("batch_size"), task.get("length", 1))
    return finite_or_zero(math.prod(map(finite_or_zero, factors)) * flops_per_token)


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size  # noqa: PTH118
            except OSError:  # it has gone meanwhile
                continue
    return total
