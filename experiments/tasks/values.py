"""What tasks of real values share: what is asked of a model, batches, and the loss."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from experiments.tasks.batch import Batch, Task, unpadded_batch

if TYPE_CHECKING:
    from torch import Tensor


class Predict(StrEnum):
    """What is asked of a model: the sequence itself, or its next value."""

    reconstruct = "reconstruct"
    next = "next"


class ValuesTask(Task):
    """Sequences (time, width) of float32, of which each step is predicted or the next one.

    Samples have one step more than a sequence, which is only a target: inputs and target are
    (batch, time, width), the same under predict=reconstruct, the target one step ahead under
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
        """Return the mean squared error (batch, time, width) over kept positions and features."""
        return (prediction - batch.target).square()[batch.keep].mean()
