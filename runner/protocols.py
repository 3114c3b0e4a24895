"""What the training loop asks of the science and of a trial, and nothing else."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor


class Batch(Protocol):
    """What a task hands over; see `experiments.tasks.batch`."""

    @property
    def inputs(self) -> tuple[Tensor, ...]: ...
    @property
    def keep(self) -> Tensor: ...
    def to(self, device: torch.device) -> "Batch": ...
    def split(self, parts: int) -> "Sequence[Batch]": ...


class Task(Protocol):
    """Data and loss; `batch` is a pure function of the step, so that data have no state."""

    @property
    def unit(self) -> str: ...
    def batch(self, step: int) -> Any: ...
    def evaluation(self) -> Iterator[Any]: ...
    def loss(self, prediction: Tensor, batch: Any) -> Tensor: ...


class Output(Protocol):
    """What a model returns."""

    @property
    def prediction(self) -> Tensor: ...
    @property
    def aux_loss(self) -> Tensor: ...


class Probe(Protocol):
    """A streaming measurement on held-out data."""

    def update(self, batch: Any, output: Any) -> None: ...
    def metrics(self) -> dict[str, float]: ...


class Trial(Protocol):
    """The part of `runner.trial.Trial` that the loop uses."""

    config: Any
    device: torch.device
    checkpoints: Path
    stopping: bool
    deferring: bool

    def log(self, values: dict[str, float], step: int) -> None: ...
    def record(self, values: dict[str, float], unit: str = "") -> None: ...
    def progress(self, step: int, steps: int, loss: float) -> None: ...
    def resume(self, step: int) -> None: ...
    def flush(self) -> None: ...
    def diverge(self, reason: str) -> None: ...
    @property
    def diverged(self) -> str | None: ...
