"""Three kinds of sequence, slow, fast and random, on which experts can specialise."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from experiments.rules import check_at_least
from experiments.tasks import task
from experiments.tasks.base import Sizes, TaskOptions
from experiments.tasks.batch import Batch
from experiments.tasks.values import Predict, ValuesTask
from runner.config import Evaluation

# The data are one fixed set, as if read from a file. The seed of a trial chooses batches from it.
TRAIN_SEED, EVALUATION_SEED, TUNING_SEED = 2017, 2018, 2019


@task("waves")
@dataclass
class Waves(TaskOptions):
    """Three kinds of sequence: a slow sine, a fast sine, noise."""

    has_tuning_data: ClassVar[bool] = True

    length: int
    width: int
    n_samples: int
    n_eval: int
    noise: float
    predict: Predict

    def __post_init__(self) -> None:
        check_at_least(2, length=self.length)
        check_at_least(1, width=self.width)
        check_at_least(3, n_samples=self.n_samples, n_eval=self.n_eval)
        check_at_least(0, noise=self.noise)

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
    ) -> "WavesTask":
        """Return the task."""
        return WavesTask(self, seed, batch_size, evaluation)


class WavesTask(ValuesTask):
    """Reconstruction or prediction of sequences (length, width) of three kinds.

    One feature of a sample of each label (length 20, noise 0.1):

        low        0.11  0.44  0.95  0.89  0.56 -0.03 -1.00 -1.12 ... sin from 0 to 4 pi, and noise
        high       0.02 -0.38  0.44 -0.54  0.64 -0.62  0.78 -0.84 ... sin from 0 to 20 pi, and noise
        noise    -0.90  0.34  0.36 -0.43 -0.63  0.25  0.97 -0.70 ... standard normal

    The sine is the same in every feature, the noise is not.

    inputs and target are (batch, length, width) float32. They are equal with predict=reconstruct;
    the target is one step ahead with predict=next. The loss is the mean squared error.
    Split: three sets from fixed seeds: for training, for the report and for tuning. The numbers of
    samples of the labels differ by at most one.
    Fingerprint: options and this code.
    """

    labels = ("low", "high", "noise")

    def __init__(self, options: Waves, seed: int, batch_size: int, evaluation: Evaluation) -> None:
        super().__init__(seed=seed, batch_size=batch_size)
        self.width, self.predict = options.width, options.predict
        self._train, self._train_label = waves(options, options.n_samples, TRAIN_SEED)
        held_out = TUNING_SEED if evaluation is Evaluation.tuning else EVALUATION_SEED
        self.held_out = waves(options, options.n_eval, held_out)
        self._rows = [
            np.flatnonzero(self._train_label == index) for index in range(len(self.labels))
        ]

    def batch(self, step: int) -> Batch:
        """Return random training samples; the numbers of each label differ by at most one."""
        rng = np.random.default_rng([self.seed, step])
        # The first label is random, since the first ones may have one sample more.
        label = (np.arange(self.batch_size) + rng.integers(len(self.labels))) % len(self.labels)
        row = np.empty(self.batch_size, np.int64)
        for index, rows in enumerate(self._rows):
            has_label = label == index
            row[has_label] = rng.choice(rows, int(has_label.sum()))
        return self.collate(self._train[row], self._train_label[row])


def waves(options: Waves, n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return `n` samples (n, length + 1, width) and their labels (n,), which alternate.

    The last step is only a target.
    """
    rng = np.random.default_rng(seed)
    label = np.arange(n) % len(WavesTask.labels)
    phase = np.arange(options.length + 1) / (options.length - 1)  # 0..1 over `length`
    clean = np.stack([np.sin(4 * np.pi * phase), np.sin(20 * np.pi * phase), np.zeros_like(phase)])
    scale = np.array([options.noise, options.noise, 1.0])
    noise = rng.standard_normal((n, options.length + 1, options.width), dtype=np.float32)
    samples = clean[label][:, :, None] + scale[label][:, None, None] * noise
    return samples.astype(np.float32), label
