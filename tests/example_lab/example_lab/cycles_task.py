"""The samples of the task `example_cycles`."""

import numpy as np
from numpy.typing import NDArray

from experiments.tasks.batch import Batch
from experiments.tasks.symbols import SymbolsTask

from .cycles import Cycles


class CyclesTask(SymbolsTask):
    """A sample (period 3): 7 1 4 7 1 4 7 1 4 ..."""

    labels = ("cycle",)
    unit = "nats/token"

    def __init__(self, options: Cycles, seed: int, batch_size: int) -> None:
        super().__init__(seed=seed, batch_size=batch_size)
        self.vocabulary, self.options = options.vocabulary, options
        self.held_out = self.draw([2], options.n_eval)

    def draw(self, key: list[int], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return sequences (n, length + 1) and their labels (n,)."""
        symbols = np.random.default_rng(key).integers(
            self.vocabulary, size=(n, self.options.period)
        )
        steps = np.arange(self.options.length + 1)
        return symbols[:, steps % self.options.period], np.zeros(n, np.int64)

    def batch(self, step: int) -> Batch:
        """Return the batch of a training step."""
        return self.collate(*self.draw([1, self.seed, step], self.batch_size))
