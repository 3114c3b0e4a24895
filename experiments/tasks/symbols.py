"""The base class of tasks in which a model predicts the next symbol of a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments.tasks.batch import Batch, Task, unpadded_batch

if TYPE_CHECKING:
    from torch import Tensor


class SymbolsTask(Task):
    """Sequences of ids, each of which is predicted from the ids before it.

    A sample has time + 1 steps, the last of which is only a target. Both inputs and target are
    (batch, time) int64, the target one step ahead. The loss is the cross-entropy in nats a symbol.
    """

    def collate(self, *rows: NDArray[Any]) -> Batch:
        """Return the batch of samples (batch, time + 1) with their labels (batch,)."""
        import torch

        samples, label = rows
        tokens = torch.from_numpy(samples.astype(np.int64))
        return unpadded_batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), label)

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of logits (batch, time, vocabulary) over kept positions."""
        from torch.nn import functional as F

        target = batch.target.masked_fill(~batch.keep, -100)
        return F.cross_entropy(prediction.flatten(0, 1), target.flatten(), ignore_index=-100)
