"""Byte-level language modelling on a cached corpus, whether its text is ours or the user's."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from experiments import corpora
from experiments.tasks.batch import Batch
from runner.config import Evaluation


class ByteText:
    """Predict each byte from those before it.

    inputs and target are (batch, length) int64 in 0..255, the target one byte ahead; nothing is
    padding. The loss is the cross-entropy in nats per byte. `cache` holds the corpus whose
    fingerprint is `data`; without one it is built from what the source holds now.
    """

    unit = "nats/byte"
    vocabulary: int | None = 256
    width: int | None = None

    def __init__(
        self,
        options: corpora.Corpus,
        *,
        seed: int,
        batch_size: int,
        cache: Path,
        data: str = "",
        evaluation: Evaluation = Evaluation.report,
    ) -> None:
        corpus = corpora.load(options, cache, data)
        prefix = "tuning_" if evaluation is Evaluation.tuning else ""
        self.labels: tuple[str, ...] = tuple(str(name) for name in corpus["labels"])
        self.seed = seed
        self.batch_size = batch_size
        self._train, self._bounds = corpus["train"], corpus["bounds"]
        self._windows = corpus[f"{prefix}windows"]
        self._window_label = corpus[f"{prefix}window_label"]
        self._offsets = np.arange(options.length + 1)

    def batch(self, step: int) -> Batch:
        """Stretches of training text from random places; labels differ by at most one sequence."""
        draw = np.random.default_rng([self.seed, step])
        n_labels = len(self.labels)
        # Where labels cannot be equally many, a random one begins.
        label = (np.arange(self.batch_size) + draw.integers(n_labels)) % n_labels
        room = np.diff(self._bounds) - len(self._offsets) + 1  # starts per label
        start = self._bounds[label] + draw.integers(room[label])
        return _batch(self._train[start[:, None] + self._offsets], label)

    def evaluation(self) -> Iterator[Batch]:
        """The held-out sequences, the same for every seed. The last batch may be smaller."""
        for first in range(0, len(self._windows), self.batch_size):
            part = slice(first, first + self.batch_size)
            yield _batch(self._windows[part], self._window_label[part])

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy of logits (batch, time, 256) over kept positions."""
        target = batch.target.masked_fill(~batch.keep, -100)
        return F.cross_entropy(prediction.flatten(0, 1), target.flatten(), ignore_index=-100)


def _batch(windows: NDArray[np.uint8], label: NDArray[np.int64]) -> Batch:
    """Windows (batch, length + 1) as inputs and their continuation."""
    tokens = torch.from_numpy(windows.astype(np.int64))
    target = tokens[:, 1:].contiguous()
    keep = torch.ones(target.shape, dtype=torch.bool)
    inputs = tokens[:, :-1].contiguous()
    return Batch(inputs=(inputs,), target=target, keep=keep, label=torch.from_numpy(label))
