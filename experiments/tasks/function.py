"""Regression of a continuous function of each input value."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from experiments.rules import check_at_least
from experiments.tasks import task
from experiments.tasks.base import Sizes, TaskOptions
from experiments.tasks.batch import Batch, unpadded_batch
from experiments.tasks.values import ValuesTask
from runner.config import Evaluation

# The data are one fixed set, as if read from a file. The seed of a trial chooses batches from it.
TRAIN_SEED, EVALUATION_SEED, TUNING_SEED = 2020, 2021, 2022


@task("function")
@dataclass
class Function(TaskOptions):
    """Regression of sin_weight * sin(x) + cos_weight * cos(2x) from sequences of random x."""

    has_tuning_data: ClassVar[bool] = True

    length: int
    width: int
    n_samples: int
    n_eval: int
    sin_weight: float
    cos_weight: float

    def __post_init__(self) -> None:
        check_at_least(
            1, length=self.length, width=self.width, n_samples=self.n_samples, n_eval=self.n_eval
        )

    def sizes(self) -> Sizes:
        """Return how large the task is."""
        return Sizes(
            self.length,
            n_outputs=self.width,
            n_eval=self.n_eval,
            data_bytes=4 * (self.n_samples + self.n_eval) * self.length * self.width,
        )

    def build(
        self,
        *,
        seed: int,
        batch_size: int,
        evaluation: Evaluation = Evaluation.report,
        **_: object,
    ) -> "FunctionTask":
        """Return the task."""
        return FunctionTask(self, seed, batch_size, evaluation)


class FunctionTask(ValuesTask):
    """Regression of sin_weight * sin(x) + cos_weight * cos(2x), value by value.

    One feature of a sample (sin_weight 1, cos_weight 0.5), x standard normal:

        x         0.07  0.29 -1.35 -0.49  0.15  0.48 ...
        target    0.56  0.70 -1.43 -0.19  0.63  0.75 ...

    inputs and target are (batch, length, width) float32. A target depends only on the input at its
    own position, so attention cannot help. The loss is the mean squared error. A model that
    predicts the mean of the target has a loss equal to its variance. For standard normal x that is
    0.4323 sin_weight^2 + 0.4819 cos_weight^2.
    Split: three sets from fixed seeds: for training, for the report and for tuning.
    Fingerprint: options and this code.
    """

    labels = ("function",)

    def __init__(
        self, options: Function, seed: int, batch_size: int, evaluation: Evaluation
    ) -> None:
        super().__init__(seed=seed, batch_size=batch_size)
        self.width = options.width
        self._options = options
        self._train = draw_inputs(options, options.n_samples, TRAIN_SEED)
        held_out = TUNING_SEED if evaluation is Evaluation.tuning else EVALUATION_SEED
        self.held_out = (draw_inputs(options, options.n_eval, held_out),)

    def batch(self, step: int) -> Batch:
        """Return random training samples. A batch repeats one only if it is larger than the set."""
        rng = np.random.default_rng([self.seed, step])
        repeat = self.batch_size > len(self._train)
        rows = rng.choice(len(self._train), self.batch_size, replace=repeat)
        return self.collate(self._train[rows])

    def collate(self, *rows: NDArray[Any]) -> Batch:
        """Return the batch of samples (batch, length, width)."""
        import torch

        x, options = torch.from_numpy(rows[0]), self._options
        target = options.sin_weight * torch.sin(x) + options.cos_weight * torch.cos(2 * x)
        return unpadded_batch(x, target, np.zeros(len(x), np.int64))


def draw_inputs(options: Function, n: int, seed: int) -> NDArray[np.float32]:
    """Return `n` samples (n, length, width) of standard normal values."""
    shape = (n, options.length, options.width)
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
