"""The base class of tasks of real values: their target, batches and loss."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from experiments.tasks.batch import Batch, Task, unpadded_batch

if TYPE_CHECKING:
    from torch import Tensor


class Predict(StrEnum):
    """The target of a sequence: the sequence itself, or its next step."""

    reconstruct = "reconstruct"
    next = "next"


class ValuesTask(Task):
    """Sequences (time, width) of float32, which a model reconstructs or continues at each step.

    A sample has time + 1 steps, the last of which is only a target. inputs and target are
    (batch, time, width). They are equal with predict=reconstruct; the target is one step ahead with
    predict=next. The loss is the mean squared error.
    """

    unit = "mse"
    predict = Predict.next

    def collate(self, *rows: NDArray[Any]) -> Batch:
        """Return the batch of samples (batch, time + 1, width) with their labels (batch,)."""
        import torch

        samples, label = rows
        values = torch.from_numpy(samples)
        target = values[:, 1:] if self.predict is Predict.next else values[:, :-1]
        return unpadded_batch(values[:, :-1], target, label)

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared error over features and kept positions."""
        return (prediction - batch.target).square()[batch.keep].mean()
