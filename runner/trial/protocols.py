"""The interfaces that the training loop needs: task, batch, model output, probe, trial."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor


class BatchProtocol(Protocol):
    """A batch of a task; see `experiments.tasks.batch`.

    `keep` is True at the positions that the loss counts, so padding is excluded.
    """

    @property
    def inputs(self) -> tuple[Tensor, ...]: ...
    @property
    def keep(self) -> Tensor: ...
    def to(self, device: torch.device) -> "BatchProtocol": ...
    def split(self, n_parts: int) -> "Sequence[BatchProtocol]": ...


class TaskProtocol(Protocol):
    """The data and the loss of a task.

    `batch` is a pure function of the step, so the data have no state to save. `evaluation` yields
    the held-out batches. `unit` is the unit of the loss. `n_held_out_bytes` is the number of bytes
    of text that the held-out targets stand for; None without text. `metrics` returns means
    over the kept positions of a held-out batch, in addition to the loss.
    """

    @property
    def unit(self) -> str: ...
    @property
    def n_held_out_bytes(self) -> float | None: ...
    def batch(self, step: int) -> Any: ...
    def evaluation(self) -> Iterator[Any]: ...
    def loss(self, prediction: Tensor, batch: Any) -> Tensor: ...
    def metrics(self, prediction: Tensor, batch: Any) -> Mapping[str, float]: ...


class OutputProtocol(Protocol):
    """The output of a model: its prediction, and an auxiliary loss to add to the task's loss."""

    @property
    def prediction(self) -> Tensor: ...
    @property
    def aux_loss(self) -> Tensor: ...


class ProbeProtocol(Protocol):
    """A streaming measurement on held-out data: update per batch, then read the metrics."""

    def update(self, batch: Any, output: Any) -> None: ...
    def metrics(self) -> dict[str, float]: ...


class TrialProtocol(Protocol):
    """The part of `runner.trial.trial.Trial` that the loop uses."""

    config: Any
    device: torch.device
    checkpoints: Path
    stop_requested: bool
    defer_stop: bool

    def log(self, values: dict[str, float], step: int) -> None: ...
    def record(self, values: dict[str, float], unit: str = "") -> None: ...
    def progress(self, step: int, steps: int, loss: float) -> None: ...
    def open_log(self, step: int) -> None: ...
    def flush(self) -> None: ...
    def diverge(self, reason: str) -> None: ...
    def note(self, text: str) -> None: ...
    @property
    def diverged(self) -> str | None: ...
