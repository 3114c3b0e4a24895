"""The batches, the loss and the metrics of a task that is one plain class."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from experiments.tasks.batch import Batch, Task, unpadded_batch
from experiments.tasks.plain_samples import PlainSample, Sampler, SplitName, call_user_code

if TYPE_CHECKING:
    from torch import Tensor

METRIC_NAME = re.compile(r"[a-z][a-z0-9_]*(/[a-z0-9_]+)*")


class PlainTask(Task):
    """Sequences of a plain class, in batches.

    inputs and target are ids (batch, length) int64 or values (batch, length, width) float32.
    Training batches come from the generator [1, seed, step], held-out sequences from [2] and those
    for tuning from [3]. These streams share no random numbers. A task with few possible sequences
    may still repeat one, unless its `split` keeps the sides apart.
    """

    def __init__(
        self,
        sampler: Sampler,
        held_out: PlainSample,
        *,
        labels: tuple[str, ...],
        unit: str,
        loss: Callable[[Tensor, Tensor], Any] | None,
        metrics: Callable[[Tensor, Tensor], Any] | None,
        seed: int,
        batch_size: int,
    ) -> None:
        super().__init__(seed=seed, batch_size=batch_size)
        self.labels, self.unit = labels, unit
        self.vocabulary, self.width = sampler.vocabulary, sampler.width
        self.held_out = held_out.arrays()
        self._sampler, self._loss, self._metrics = sampler, loss, metrics

    def batch(self, step: int) -> Batch:
        """Return new sequences, a pure function of the seed and the step."""
        key = [self.seed, step]
        return self.collate(*self._sampler.draw(self.batch_size, key, SplitName.train).arrays())

    def collate(self, *rows: NDArray[Any]) -> Batch:
        """Return the batch of inputs and targets with their labels (batch,)."""
        import torch

        inputs, target, label = rows
        return unpadded_batch(torch.from_numpy(inputs), torch.from_numpy(target), label)

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Return the user's loss, or the mean cross-entropy or mean squared error.

        Raises:
            ValueError: the user's method fails, or returns no tensor of real numbers.
        """
        import torch
        from torch.nn import functional as F

        if self._loss is not None:
            name = f"{self._sampler.name}: loss()"
            value = call_user_code(name, self._loss, prediction, batch.target)
            if not isinstance(value, torch.Tensor):
                raise ValueError(f"{name} returned {type(value).__name__}; it must return a tensor")
            if not value.is_floating_point() or not value.numel():
                raise ValueError(
                    f"{name} returned {value.numel()} numbers of {value.dtype}; it must return one "
                    "real number or more"
                )
            return value.mean()
        if self.vocabulary is None:
            return (prediction - batch.target).square().mean()
        return F.cross_entropy(prediction.flatten(0, 1), batch.target.flatten())

    def metrics(self, prediction: Tensor, batch: Batch) -> Mapping[str, float]:
        """Return the user's metrics of a held-out batch; of an array, its mean.

        Raises:
            ValueError: the user's method fails, or returns no mapping of names to numbers.
        """
        if self._metrics is None:
            return {}
        name = f"{self._sampler.name}: metrics()"
        values = call_user_code(name, self._metrics, prediction, batch.target)
        if not isinstance(values, Mapping):
            raise ValueError(
                f"{name} returned {type(values).__name__}; it must return a mapping of names to "
                "numbers"
            )
        for key in values:
            if not isinstance(key, str) or not METRIC_NAME.fullmatch(key):
                raise ValueError(
                    f"{name}: the name {key!r} must be lower-case words joined by _, in groups "
                    "joined by /"
                )
        return {key: mean_of(value, f"{name}: {key}") for key, value in values.items()}


def mean_of(value: Any, name: str) -> float:
    """Return a number, or the mean of the numbers in a tensor or array.

    Raises:
        ValueError: there is none; the message begins with the name.
    """
    import torch

    try:
        values = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is {type(value).__name__}, which is not a number") from error
    if not values.numel() or values.is_complex():
        raise ValueError(f"{name} is an array of {values.numel()} real numbers; it must have some")
    return float(values.double().mean())
