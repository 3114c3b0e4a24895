"""The times of a trial's training steps, measured while no other trial uses the machine. No torch.

`step_time.json` in the folder of a trial holds them, sealed. The trial's result does not contain
them: a claim may ask for them long after the training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from runner.records import schemas, seal
from runner.records.files import read_json, write_json
from runner.records.job import Job
from runner.records.store import Slot

STEP_TIME = "step_time.json"
QUANTITY = "step"


@dataclass(frozen=True)
class StepTimes:
    """The seconds of a trial's timed steps, in all timing passes on one machine."""

    samples: tuple[float, ...]
    passes: int

    @property
    def median(self) -> float:
        """The median seconds of a step."""
        return median(self.samples)


@dataclass(frozen=True)
class StepTimingJob(Job):
    """A job that times the first training steps of a finished trial.

    Attributes:
        n_steps: the number of timed steps in one pass.
        n_warmup: the number of steps before them.
    """

    n_steps: int = 1
    n_warmup: int = 0


def read_step_times(slot: Slot, code: str, machine: Mapping[str, Any]) -> StepTimes | None:
    """Return the step times of a trial; None if another machine or other code was timed.

    A record that was changed or has another format counts as missing.
    """
    record = read_json(slot.folder / STEP_TIME)
    if (
        record is None
        or record.get("code") != code
        or record.get("machine") != machine
        or seal.format_mismatch(record, STEP_TIME)
        or seal.first_change(record, STEP_TIME, slot.folder, ())
    ):
        return None
    samples, passes = record.get("samples"), record.get("passes")
    if not (schemas.is_samples(samples) and schemas.is_count(passes) and passes):
        return None
    seconds = samples.get(QUANTITY) if isinstance(samples, dict) else None
    return StepTimes(tuple(seconds), int(passes)) if seconds and min(seconds) > 0 else None


def write_step_times(slot: Slot, code: str, machine: Mapping[str, Any], times: StepTimes) -> None:
    """Write the step times of a trial."""
    record = {
        "code": code,
        "machine": dict(machine),
        "samples": {QUANTITY: list(times.samples)},
        "passes": times.passes,
    }
    write_json(slot.folder / STEP_TIME, seal.seal_record(record, STEP_TIME, slot.folder, ()))
