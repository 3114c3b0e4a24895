"""The job that is sent to the process that computes a trial. Imports no torch."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runner.config import ArmConfig, DeviceName, Scale
from runner.records.store import Slot


class Stage(StrEnum):
    """The two parts of a trial.

    run      may run at the same time as other trials
    timing   is timed under an exclusive lock of the machine
    """

    run = "run"
    timing = "timing"


@dataclass(frozen=True)
class Job:
    """One stage of a trial to compute.

    Attributes:
        slot: the trial's folder in the store.
        signature_text: the text that the signature of the arm hashes; written into `arm.json`.
        code: the hash of the code that computes the trial.
        data: the fingerprint of the task's data.
        passes: for a finished trial that gets another timing pass, the number of its passes so far;
            0 for a trial that is not finished.
        timeout_s: seconds after which the stage is stopped; None for no limit.
        scale: the scale of the study. The times of a smoke run are no evidence, so its trials wait
            for no other study.
        question: the name of the study's question.
        command_pid: the process id of the command, which tells two studies apart.
        table_metrics: the metrics that TensorBoard's HParams table shows.
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
    scale: Scale = Scale.quick
    question: str = ""
    command_pid: int = 0
    table_metrics: tuple[str, ...] = ()
