"""What a task is to the training loop and the probes: batches and a loss.

Imports torch only inside functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
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

    def select(self, rows: slice, steps: slice = slice(None)) -> Batch:
        """Return the batch of some of the sequences, and of some of their steps."""
        return replace(
            self,
            inputs=tuple(x[rows, steps] for x in self.inputs),
            target=self.target[rows, steps],
            keep=self.keep[rows, steps],
            label=self.label[rows],
        )

    def split(self, parts: int) -> list[Batch]:
        """Cut the batch into parts of equally many sequences.

        Raises:
            ValueError: the sequences cannot be shared out.
        """
        n = len(self.keep)
        if n % parts:
            raise ValueError(f"a batch of {n} sequences cannot be cut into {parts} equal parts")
        size = n // parts
        return [self.select(slice(first, first + size)) for first in range(0, n, size)]

    def to(self, device: torch.device) -> Batch:
        """Return the same batch on another device."""
        return replace(
            self,
            inputs=tuple(x.to(device) for x in self.inputs),
            target=self.target.to(device),
            keep=self.keep.to(device),
            label=self.label.to(device),
        )


class Task:
    """Data and their loss; a batch is a pure function of seed and step, so data have no state.

    A task sets `labels`, `unit`, `held_out` and its `vocabulary` or `width`, and writes `batch`,
    `collate` and `loss`.

    Attributes:
        labels: the domains of the sequences.
        unit: of the loss.
        vocabulary: how many symbols there are to predict, or None.
        width: how many features a step has to predict, or None.
        held_out: arrays whose rows are the held-out sequences; `collate` makes batches of them.
        lags: label -> how far back of a query its key lies, where such dependences are planted.
        needs_lags: whether that key helps to predict, so that heads have a reason to look there.
    """

    labels: tuple[str, ...]
    unit: str
    vocabulary: int | None = None
    width: int | None = None
    lags: Mapping[str, int] = MappingProxyType({})
    needs_lags: bool = False
    held_out: Sequence[NDArray[Any]]

    def __init__(self, *, seed: int, batch_size: int) -> None:
        self.seed, self.batch_size = seed, batch_size

    def batch(self, step: int) -> Batch:
        """Return the training batch of a step."""
        raise NotImplementedError

    def collate(self, *rows: NDArray[Any]) -> Batch:
        """Return the batch of some rows of `held_out`."""
        raise NotImplementedError

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss over the kept positions of a batch."""
        raise NotImplementedError

    def evaluation(self) -> Iterator[Batch]:
        """Yield the held-out sequences, the same for every seed. The last batch may be smaller."""
        for first in range(0, len(self.held_out[0]), self.batch_size):
            yield self.collate(*(part[first : first + self.batch_size] for part in self.held_out))


def unpadded_batch(inputs: Tensor, target: Tensor, label: NDArray[Any]) -> Batch:
    """Return a batch in which nothing is padding."""
    import torch

    keep = torch.ones(target.shape[:2], dtype=torch.bool)
    return Batch(inputs=(inputs,), target=target, keep=keep, label=torch.from_numpy(label))
