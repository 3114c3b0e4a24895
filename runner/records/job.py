"""What travels to the process that computes a trial. Imports no torch."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runner.config import ArmConfig, DeviceName
from runner.records.store import Slot


class Stage(StrEnum):
    """The two parts of a trial.

    What may run beside other trials, and what is timed alone on the machine.
    """

    run = "run"
    timing = "timing"


@dataclass(frozen=True)
class Job:
    """One stage of a trial to compute.

    An arm under one seed, its place in the store, and what its result must say of its origin.
    `passes`: how often a finished trial has been timed, which is to be timed once more; 0 for a
    trial that is not finished. `timeout_s`: after how many seconds the stage is ended.
    """

    arm: str
    seed: int
    config: ArmConfig
    device: DeviceName
    slot: Slot
    signature_text: str
    cache: Path
    code: str
    data: str
    plugins: tuple[str, ...] = ()
    stage: Stage = Stage.run
    passes: int = 0
    timeout_s: float | None = None
