"""Language modelling on a cached corpus of installed packages or of the user's files."""

from pathlib import Path

import numpy as np

from experiments.tasks.batch import Batch
from experiments.tasks.corpora.base import BYTE_VALUES, CorpusOptions
from experiments.tasks.symbols import SymbolsTask
from runner.config import Evaluation


class ByteTextTask(SymbolsTask):
    """Predict each byte from the bytes before it, or each token of a learned vocabulary.

    inputs and target are (batch, length) int64, the target one step ahead. Bytes are 0..255, and
    ids of tokens end at the size of the vocabulary. There is no padding. The loss is the
    cross-entropy in nats per byte or token. `val/nats_per_byte` divides the same sum by the bytes
    of the held-out targets.

    The folder `cache` holds the corpus with the fingerprint `data`. Without a fingerprint the
    corpus is built from the present source.
    """

    unit = "nats/byte"
    vocabulary: int | None = BYTE_VALUES

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
        target = self.held_out[0][:, 1:]
        self.n_held_out_bytes = target.size
        if options.learned_vocabulary is not None:
            sizes = np.diff(corpus["token_ends"], prepend=0)
            self.vocabulary = len(sizes)
            self.unit = f"nats/token of {self.vocabulary}"
            self.n_held_out_bytes = int(sizes[target].sum())
        self._train, self._bounds = corpus["train"], corpus["bounds"]
        self._offsets = np.arange(options.sizes().length + 1)

    def batch(self, step: int) -> Batch:
        """Return training text from random places; labels differ by at most one sequence."""
        rng = np.random.default_rng([self.seed, step])
        n_labels = len(self.labels)
        # The first label is random, since the first ones may have one sequence more.
        label = (np.arange(self.batch_size) + rng.integers(n_labels)) % n_labels
        n_starts = np.diff(self._bounds) - len(self._offsets) + 1  # for each label
        start = self._bounds[label] + rng.integers(n_starts[label])
        return self.collate(self._train[start[:, None] + self._offsets], label)
