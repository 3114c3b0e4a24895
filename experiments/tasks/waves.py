"""Three kinds of sequence, slow, fast and random, on which experts may specialise."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.config import Predict, Waves
from experiments.tasks.batch import Batch
from runner.config import Evaluation

# Data are one fixed set, as if read from a file: seeds of trials choose batches, not samples.
TRAIN_SEED, EVALUATION_SEED, TUNING_SEED = 2017, 2018, 2019


class WavesTask:
    """Reproduce, or continue, sequences (length, width).

    One feature of a sample of each label (length 20, noise 0.1):

        low        0.11  0.44  0.95  0.89  0.56 -0.03 -1.00 -1.12 ... sin from 0 to 4 pi, and noise
        high       0.02 -0.38  0.44 -0.54  0.64 -0.62  0.78 -0.84 ... sin from 0 to 20 pi, and noise
        noise    -0.90  0.34  0.36 -0.43 -0.63  0.25  0.97 -0.70 ... standard normal

    The sine is the same in every feature, the noise is not. inputs and target are
    (batch, length, width) float32: equal under predict=reconstruct, the target one step ahead under
    predict=next. The loss is the mean squared error.
    Split: sets from fixed seeds, one to learn from, one for the report and one for tuning; labels
    equally many, give or take one. Fingerprint: options and this code.
    """

    labels: tuple[str, ...] = ("low", "high", "noise")
    unit = "mse"
    vocabulary: int | None = None

    def __init__(
        self,
        options: Waves,
        *,
        seed: int,
        batch_size: int,
        cache: Path,  # noqa: ARG002
        evaluation: Evaluation = Evaluation.report,
    ) -> None:
        self.width: int | None = options.width
        self.seed = seed
        self.batch_size = batch_size
        self._shift = int(options.predict is Predict.next)
        self._train, self._train_label = waves(options, options.n_samples, TRAIN_SEED)
        held_out = TUNING_SEED if evaluation is Evaluation.tuning else EVALUATION_SEED
        self._held_out, self._held_out_label = waves(options, options.n_eval, held_out)
        self._rows = [
            np.flatnonzero(self._train_label == index) for index in range(len(self.labels))
        ]

    def batch(self, step: int) -> Batch:
        """Random training samples; labels differ by at most one sample."""
        draw = np.random.default_rng([self.seed, step])
        label = (np.arange(self.batch_size) + draw.integers(len(self.labels))) % len(self.labels)
        row = np.empty(self.batch_size, np.int64)
        for index, rows in enumerate(self._rows):
            chosen = label == index
            row[chosen] = draw.choice(rows, int(chosen.sum()))
        return self._batch(self._train[row], self._train_label[row])

    def evaluation(self) -> Iterator[Batch]:
        """The held-out samples, the same for every seed. The last batch may be smaller."""
        for first in range(0, len(self._held_out), self.batch_size):
            part = slice(first, first + self.batch_size)
            yield self._batch(self._held_out[part], self._held_out_label[part])

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Mean squared error (batch, time, width) over kept positions and features."""
        return (prediction - batch.target).square()[batch.keep].mean()

    def _batch(self, samples: NDArray[np.float32], label: NDArray[np.int64]) -> Batch:
        values = torch.from_numpy(samples)
        target = values[:, 1:] if self._shift else values[:, :-1]
        keep = torch.ones(target.shape[:2], dtype=torch.bool)
        return Batch(
            inputs=(values[:, :-1],), target=target, keep=keep, label=torch.from_numpy(label)
        )


def waves(options: Waves, n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`n` samples (n, length + 1, width), whose last step is only a target, and labels in turn."""
    draw = np.random.default_rng(seed)
    label = np.arange(n) % len(WavesTask.labels)
    phase = np.arange(options.length + 1) / (options.length - 1)  # 0..1 over `length`
    clean = np.stack([np.sin(4 * np.pi * phase), np.sin(20 * np.pi * phase), np.zeros_like(phase)])
    scale = np.array([options.noise, options.noise, 1.0])
    noise = draw.standard_normal((n, options.length + 1, options.width), dtype=np.float32)
    samples = clean[label][:, :, None] + scale[label][:, None, None] * noise
    return samples.astype(np.float32), label
