"""The interface of a task for the training loop and the probes: batches and a loss.

Imports torch only inside functions.

Legend of shapes: batch (sequences), time (positions), width (features of a continuous target).
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
    """A batch of sequences, for training or evaluation.

    Attributes:
        inputs: the arguments of the model, e.g. tokens (batch, time).
        target: token ids (batch, time) or values (batch, time, width), for the loss.
        keep: (batch, time) bool, False at padding, which no loss or metric counts.
        label: (batch,) int, the index of each sequence's domain in `Task.labels`.
        label_smoothing: the share of each target that the loss spreads over all classes. It is
            above 0 only in training batches, so that no evaluation loss is smoothed.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    keep: Tensor
    label: Tensor
    label_smoothing: float = 0.0

    def select(self, rows: slice, steps: slice = slice(None)) -> Batch:
        """Return the batch of these sequences, cut to these steps."""
        return replace(
            self,
            inputs=tuple(x[rows, steps] for x in self.inputs),
            target=self.target[rows, steps],
            keep=self.keep[rows, steps],
            label=self.label[rows],
        )

    def split(self, n_parts: int) -> list[Batch]:
        """Return `n_parts` batches with equal numbers of sequences.

        Raises:
            ValueError: `n_parts` does not divide the number of sequences.
        """
        n = len(self.keep)
        if n % n_parts:
            raise ValueError(f"a batch of {n} sequences cannot be cut into {n_parts} equal parts")
        size = n // n_parts
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
    """Data and their loss. A batch is a pure function of seed and step, so a task has no state.

    A subclass sets `labels`, `unit`, `held_out`, and `vocabulary` or `width`. It defines `batch`,
    `collate` and `loss`.

    Attributes:
        labels: the domains of the sequences.
        unit: the unit of the loss.
        vocabulary: the number of symbols to predict from; None for continuous targets.
        width: the number of features of a continuous target; None for symbols.
        held_out: arrays whose rows are the held-out sequences. `collate` makes batches of them.
        lags: label -> number of steps from a query back to the key on which its target depends,
            if the task has such dependences.
        needs_lags: whether this key helps to predict the target, so that attending to it pays.
        n_held_out_bytes: bytes of text that the held-out targets stand for; None without text.
    """

    labels: tuple[str, ...]
    unit: str
    vocabulary: int | None = None
    width: int | None = None
    lags: Mapping[str, int] = MappingProxyType({})
    needs_lags: bool = False
    n_held_out_bytes: float | None = None
    held_out: Sequence[NDArray[Any]]

    def __init__(self, *, seed: int, batch_size: int) -> None:
        self.seed, self.batch_size = seed, batch_size

    def batch(self, step: int) -> Batch:
        """Return the training batch of a step."""
        raise NotImplementedError

    def collate(self, *rows: NDArray[Any]) -> Batch:
        """Return the batch of some rows of each array of `held_out`."""
        raise NotImplementedError

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss over the kept positions of a batch."""
        raise NotImplementedError

    def metrics(self, prediction: Tensor, batch: Batch) -> Mapping[str, float]:  # noqa: ARG002
        """Return further metrics of a held-out batch by name, each a mean over kept positions."""
        return {}

    def evaluation(self) -> Iterator[Batch]:
        """Yield all held-out sequences, the same for every seed. The last batch may be smaller."""
        for first in range(0, len(self.held_out[0]), self.batch_size):
            yield self.collate(*(part[first : first + self.batch_size] for part in self.held_out))


def unpadded_batch(inputs: Tensor, target: Tensor, label: NDArray[Any]) -> Batch:
    """Return a batch without padding."""
    import torch

    keep = torch.ones(target.shape[:2], dtype=torch.bool)
    return Batch(inputs=(inputs,), target=target, keep=keep, label=torch.from_numpy(label))
