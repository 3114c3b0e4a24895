"""Byte-level language modelling on a cached corpus, whether its text is ours or the user's."""

from pathlib import Path

import numpy as np

from experiments.tasks.batch import Batch
from experiments.tasks.corpora.base import BYTE_VALUES, CorpusOptions
from experiments.tasks.symbols import SymbolsTask
from runner.config import Evaluation


class ByteTextTask(SymbolsTask):
    """Predict each byte from those before it.

    inputs and target are (batch, length) int64 in 0..255, the target one byte ahead; nothing is
    padding. The loss is the cross-entropy in nats per byte. `cache` holds the corpus whose
    fingerprint is `data`; without one it is built from what the source holds now.
    """

    unit = "nats/byte"
    vocabulary = BYTE_VALUES

    def __init__(
        self,
        options: CorpusOptions,
        *,
        seed: int,
        batch_size: int,
        cache: Path,
        data: str = "",
        evaluation: Evaluation = Evaluation.report,
    ) -> None:
        super().__init__(seed=seed, batch_size=batch_size)
        corpus = options.load(cache, data)
        prefix = "tuning_" if evaluation is Evaluation.tuning else ""
        self.labels = tuple(str(name) for name in corpus["labels"])
        self.held_out = corpus[f"{prefix}windows"], corpus[f"{prefix}window_label"]
        self._train, self._bounds = corpus["train"], corpus["bounds"]
        self._offsets = np.arange(options.sizes().length + 1)

    def batch(self, step: int) -> Batch:
        """Return training text from random places; labels differ by at most one sequence."""
        draw = np.random.default_rng([self.seed, step])
        n_labels = len(self.labels)
        # Where labels cannot be equally many, a random one begins.
        label = (np.arange(self.batch_size) + draw.integers(n_labels)) % n_labels
        room = np.diff(self._bounds) - len(self._offsets) + 1  # starts per label
        start = self._bounds[label] + draw.integers(room[label])
        return self.collate(self._train[start[:, None] + self._offsets], label)
