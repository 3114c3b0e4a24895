"""Noise with planted dependences, one kind a sequence, that heads may specialise on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.config import Patterns, Predict
from experiments.tasks.batch import Batch
from runner.config import Evaluation

# The first numbers of a generator's key keep training and held-out draws apart for every seed.
TRAIN, EVALUATION, TUNING = 1, 2, 3


class PatternsTask:
    """Continue, or reproduce, sequences (length, width) whose steps depend on one earlier step.

    With e standard normal, the dependence is a fixed rule and the data are drawn anew each step:

        local        x[t] = local * x[t - 1] + e[t]
        long_range   x[t] = long_range * x[t - length // 2] + e[t]     (second half += first half)
        periodic     x[t] = periodic * x[t - period] + e[t]

    One feature of a sample of each label (length 20, 0.5, 1.0, 0.9, period 5), both ends:

        local         0.39  0.73  0.59  0.57  1.24 ... -2.52 -0.62 -0.64 -1.83 -0.68
        long_range   -1.11  0.79  0.76  1.25 -0.25 ...  1.01 -1.87 -1.82 -0.81 -1.11
        periodic     -0.30 -0.43  0.43  1.42 -0.91 ... -0.17  0.33 -0.12 -2.18 -0.12

    Features are independent but share the rule, so a sequence shows which rule it follows. inputs
    and target are (batch, length, width) float32: the target is one step ahead under predict=next,
    equal under predict=reconstruct. The loss is the mean squared error; a predictor that knows the
    rule leaves the variance of e, 1, under predict=next, and 0 under predict=reconstruct.
    `lags[label]` is how far back of a query lies the key that its target depends on;
    `needs_lags` says whether that key helps: a target equal to the input is all in the query.
    Split: sequences to learn from, for the report and for tuning come from differently keyed
    generators; labels are equally many, give or take one. Fingerprint: options and this code.
    """

    labels: tuple[str, ...] = ("local", "long_range", "periodic")
    unit = "mse"
    vocabulary: int | None = None

    def __init__(
        self,
        options: Patterns,
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
        self.needs_lags = options.predict is Predict.next
        self._shift = int(self.needs_lags)
        self.lags = {
            label: lag - self._shift
            for label, lag in zip(self.labels, lags_and_strengths(options)[0], strict=True)
        }
        key = TUNING if evaluation is Evaluation.tuning else EVALUATION
        self._held_out = patterns(options, options.n_eval, [key])

    def batch(self, step: int) -> Batch:
        """Fresh sequences; labels differ by at most one, and which has more changes."""
        key = [TRAIN, self.seed, step]
        return self._batch(*patterns(self._options, self.batch_size, key))

    def evaluation(self) -> Iterator[Batch]:
        """The held-out sequences, the same for every seed. The last batch may be smaller."""
        samples, label = self._held_out
        for first in range(0, len(samples), self.batch_size):
            part = slice(first, first + self.batch_size)
            yield self._batch(samples[part], label[part])

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Mean squared error (batch, time, width) over kept positions and features."""
        return (prediction - batch.target).square()[batch.keep].mean()

    def _batch(self, samples: NDArray[np.float32], label: NDArray[np.int64]) -> Batch:
        values = torch.from_numpy(samples)
        target = values[:, 1:] if self._shift else values[:, :-1]
        return Batch(
            inputs=(values[:, :-1],),
            target=target,
            keep=torch.ones(target.shape[:2], dtype=torch.bool),
            label=torch.from_numpy(label),
        )


def lags_and_strengths(
    options: Patterns,
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """How far back each label's dependence reaches, and its factor."""
    lags = (1, options.length // 2, options.period)
    return lags, (options.local, options.long_range, options.periodic)


def patterns(
    options: Patterns, n: int, key: list[int]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`n` samples (n, length + 1, width), whose last step is only a target, and labels in turn."""
    draw = np.random.default_rng(key)
    n_labels = len(PatternsTask.labels)
    label = (np.arange(n) + draw.integers(n_labels)) % n_labels
    samples = draw.standard_normal((n, options.length + 1, options.width), dtype=np.float32)
    for index, (lag, strength) in enumerate(zip(*lags_and_strengths(options), strict=True)):
        chosen = samples[label == index]
        for step in range(lag, options.length + 1):
            chosen[:, step] += strength * chosen[:, step - lag]
        samples[label == index] = chosen
    return samples, label
