"""What a task hands to the training loop."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One batch.

    Attributes:
        inputs: what the model is called with, e.g. tokens (batch, time).
        target: what the prediction is compared with: token ids (batch, time) or values (batch,
            time, width).
        keep: (batch, time) bool, False at padding, which counts nowhere.
        label: (batch,) int, the index of each sequence's domain in `Task.labels`.
        label_smoothing: the share of each target that the loss spreads over all classes; above 0 in
            batches to learn from alone, so that no loss that judges can be smoothed.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    keep: Tensor
    label: Tensor
    label_smoothing: float = 0.0

    def split(self, parts: int) -> "list[Batch]":
        """The batch cut into parts of equally many sequences.

        Raises:
            ValueError: the sequences cannot be shared out.
        """
        n = len(self.keep)
        if n % parts:
            raise ValueError(f"a batch of {n} sequences cannot be cut into {parts} equal parts")
        cut = [range(i, i + n // parts) for i in range(0, n, n // parts)]
        return [
            replace(
                self,
                inputs=tuple(x[part.start : part.stop] for x in self.inputs),
                target=self.target[part.start : part.stop],
                keep=self.keep[part.start : part.stop],
                label=self.label[part.start : part.stop],
            )
            for part in cut
        ]

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return replace(
            self,
            inputs=tuple(x.to(device) for x in self.inputs),
            target=self.target.to(device),
            keep=self.keep.to(device),
            label=self.label.to(device),
        )
