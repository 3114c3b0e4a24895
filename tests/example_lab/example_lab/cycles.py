"""Random symbols that repeat after a period."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from experiments.rules import check_at_least
from experiments.tasks import Sizes, TaskOptions, task
from experiments.tasks.batch import Batch
from experiments.tasks.symbols import SymbolsTask


@task("example_cycles")
@dataclass
class Cycles(TaskOptions):
    """Random symbols that repeat after `period` steps."""

    symbols: ClassVar[bool] = True

    length: int = 12
    vocabulary: int = 8
    period: int = 3
    n_eval: int = 16

    def __post_init__(self) -> None:
        check_at_least(1, period=self.period, n_eval=self.n_eval)
        check_at_least(2, vocabulary=self.vocabulary, length=self.length)

    def sizes(self) -> Sizes:
        """Return how large the task is."""
        return Sizes(self.length, n_outputs=self.vocabulary, n_eval=self.n_eval)

    def build(self, *, seed: int, batch_size: int, **_: object) -> "CyclesTask":
        """Return the task."""
        return CyclesTask(self, seed, batch_size)


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
