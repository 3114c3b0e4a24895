"""A continuous function of each input value, to be learnt from random inputs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.config import Function
from experiments.tasks.batch import Batch
from runner.config import Evaluation

# Data are one fixed set, as if read from a file: seeds of trials choose batches, not samples.
TRAIN_SEED, EVALUATION_SEED, TUNING_SEED = 2020, 2021, 2022


class FunctionTask:
    """Regression of sin_weight * sin(x) + cos_weight * cos(2x), value by value.

    One feature of a sample (sin_weight 1, cos_weight 0.5), x standard normal:

        x         0.07  0.29 -1.35 -0.49  0.15  0.48 ...
        target    0.56  0.70 -1.43 -0.19  0.63  0.75 ...

    inputs and target are (batch, length, width) float32. Every position holds all that its own
    target needs, so attention has nothing to add. The loss is the mean squared error; the mean of
    the target alone leaves its variance, which for standard normal x is 0.4323 sin_weight^2 +
    0.4819 cos_weight^2.
    Split: sets from fixed seeds, one to learn from, one for the report and one for tuning.
    Fingerprint: options and this code.
    """

    labels: tuple[str, ...] = ("function",)
    unit = "mse"
    vocabulary: int | None = None

    def __init__(
        self,
        options: Function,
        *,
        seed: int,
        batch_size: int,
        cache: Path,  # noqa: ARG002
        evaluation: Evaluation = Evaluation.report,
    ) -> None:
        self.width: int | None = options.width
        self.seed = seed
        self.batch_size = batch_size
        self._options = options
        self._train = inputs(options, options.n_samples, TRAIN_SEED)
        held_out = TUNING_SEED if evaluation is Evaluation.tuning else EVALUATION_SEED
        self._held_out = inputs(options, options.n_eval, held_out)

    def batch(self, step: int) -> Batch:
        """Random training samples, none twice in a batch unless there are too few."""
        draw = np.random.default_rng([self.seed, step])
        repeat = self.batch_size > len(self._train)
        return self._batch(
            self._train[draw.choice(len(self._train), self.batch_size, replace=repeat)]
        )

    def evaluation(self) -> Iterator[Batch]:
        """The held-out samples, the same for every seed. The last batch may be smaller."""
        for first in range(0, len(self._held_out), self.batch_size):
            yield self._batch(self._held_out[first : first + self.batch_size])

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Mean squared error (batch, time, width) over kept positions and features."""
        return (prediction - batch.target).square()[batch.keep].mean()

    def _batch(self, samples: NDArray[np.float32]) -> Batch:
        x = torch.from_numpy(samples)
        options = self._options
        target = options.sin_weight * torch.sin(x) + options.cos_weight * torch.cos(2 * x)
        return Batch(
            inputs=(x,),
            target=target,
            keep=torch.ones(x.shape[:2], dtype=torch.bool),
            label=torch.zeros(len(x), dtype=torch.int64),
        )


def inputs(options: Function, n: int, seed: int) -> NDArray[np.float32]:
    """`n` samples (n, length, width) of standard normal values."""
    shape = (n, options.length, options.width)
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
