"""Random symbols that repeat with a random period, which induction heads can predict."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from experiments.rules import check_at_least
from experiments.tasks import task
from experiments.tasks.base import Sizes, TaskOptions
from experiments.tasks.batch import Batch
from experiments.tasks.symbols import SymbolsTask
from runner.config import Evaluation

# The first number of a generator's key. It separates the draws of training, evaluation and tuning.
TRAIN, EVALUATION, SPLIT, TUNING = 1, 2, 3, 4
BEGIN = 0
"""The token that every sequence begins with; it occurs nowhere else."""


@task("induction")
@dataclass
class Induction(TaskOptions):
    """Random symbols that repeat, r r r ..., with a random period for each sequence."""

    symbols: ClassVar[bool] = True
    repeats: ClassVar[bool] = True
    has_tuning_data: ClassVar[bool] = True

    length: int
    vocabulary: int
    max_period: int
    n_eval: int

    def __post_init__(self) -> None:
        # With fewer symbols, too few sequences have short periods to hold some of them out.
        check_at_least(16, vocabulary=self.vocabulary)
        check_at_least(3, max_period=self.max_period)
        check_at_least(1, n_eval=self.n_eval)
        if self.length < 2 * self.max_period:
            raise ValueError(
                f"length={self.length} must be at least twice max_period={self.max_period}, so "
                "that the second copy is complete"
            )

    def check_tuning(self) -> None:
        """Raise ValueError if the report uses too many of the possible held-out sequences."""
        # One in eight sequences is held out, and the report may use a quarter of those: 1 / 32.
        if self.n_eval > (limit := self.vocabulary**self.max_period // 32):
            raise ValueError(
                f"task.n_eval={self.n_eval} leaves too few held-out sequences for tuning. With "
                f"task.vocabulary={self.vocabulary} and task.max_period={self.max_period} it must "
                f"be at most {limit}; or set tune=none"
            )

    def sizes(self) -> Sizes:
        """Return how large the task is."""
        return Sizes(
            self.length,
            n_outputs=self.vocabulary + 1,
            n_eval=self.n_eval,
            data_bytes=8 * self.n_eval * (self.length + 1),
        )

    def build(
        self,
        *,
        seed: int,
        batch_size: int,
        evaluation: Evaluation = Evaluation.report,
        **_: object,
    ) -> "InductionTask":
        """Return the task."""
        return InductionTask(self, seed, batch_size, evaluation)


class InductionTask(SymbolsTask):
    """Predict the next symbol of [begin] r r r ..., cut to a fixed length (Olsson et al. 2022).

    r is uniformly random. Its period is drawn for each sequence from 1 to max_period, so attention
    to a fixed number of steps back cannot solve the task. A sample of length 17, period 5, 64
    symbols:

        tokens    [begin]  12 55  3 55 40   12 55  3 55 40   12 55  3 55 40   12 55
        copy                1  1  1  1  1    2  2  2  2  2    3  3  3  3  3    4  4

    inputs are (batch, length) int64: BEGIN, then symbols 1 to vocabulary. target is the same, one
    step ahead. There is no padding. The loss is the cross-entropy in nats per token.

    How well a model can predict depends on the position:
    - In the first copy no model is better than log(vocabulary).
    - Nor is it much better at the first symbol of the second copy, since no symbol marks its start.
    - After that, a symbol that occurs once in r determines the next symbol.
    - After a symbol that occurs twice in r (55), the symbols before it are needed too.
    - With 64 symbols, a lookup of only the last symbol is right in nine of ten cases if it uses its
      first occurrence. With its most recent occurrence it is right in four of five.

    Labels: `short` periods are at most half of max_period, `long` ones above.
    Split: a hash of the whole sequence holds out one in eight. No sequence is both in training and
    held out, nor both in the report and in tuning.
    Fingerprint: options and this code.
    """

    labels = ("short", "long")
    unit = "nats/token"

    def __init__(
        self, options: Induction, seed: int, batch_size: int, evaluation: Evaluation
    ) -> None:
        super().__init__(seed=seed, batch_size=batch_size)
        self.vocabulary = options.vocabulary + 1
        self._options = options
        self.held_out = draw_sequences(options, options.n_eval, [EVALUATION], held_out=True)
        if evaluation is Evaluation.tuning:
            self.held_out = draw_sequences(
                options, options.n_eval, [TUNING], held_out=True, without=self.held_out[0]
            )

    def batch(self, step: int) -> Batch:
        """Return new random sequences, a pure function of the seed and the step."""
        key = [TRAIN, self.seed, step]
        return self.collate(*draw_sequences(self._options, self.batch_size, key, held_out=False))


def draw_sequences(
    options: Induction,
    n: int,
    key: list[int],
    *,
    held_out: bool,
    without: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return `n` sequences (n, 1 + length) and their labels (n,).

    The last step of a sequence is only a target.

    Args:
        options: the options of the task.
        n: the number of sequences.
        key: the key of the random generator.
        held_out: draw from the held-out sequences (True) or from those of training (False).
        without: sequences to exclude.
    """
    excluded = set() if without is None else {row.tobytes() for row in without}
    rng = np.random.default_rng(key)
    position = np.arange(options.length)
    batches: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    # Draw n at a time and reject those of the other side, until there are enough.
    while sum(len(label) for _, label in batches) < n:
        period = rng.integers(1, options.max_period + 1, n)
        r = rng.integers(1, options.vocabulary + 1, (n, options.max_period))
        tokens = r[np.arange(n)[:, None], position % period[:, None]]  # (n, length)
        accepted = held_out_mask(tokens) == held_out
        sequences = np.pad(tokens[accepted], ((0, 0), (1, 0)), constant_values=BEGIN)
        label = (2 * period[accepted] > options.max_period).astype(np.int64)
        if excluded:
            is_new = np.array([row.tobytes() not in excluded for row in sequences], bool)
            sequences, label = sequences[is_new], label[is_new]
        batches.append((sequences, label))
    tokens, label = (np.concatenate(arrays)[:n] for arrays in zip(*batches, strict=True))
    return tokens, label


def held_out_mask(tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each row (n, length) is held out: one in eight, by a multiplicative hash."""
    # Random factors, so that every symbol of a row changes the hash. Its three highest bits
    # are all 0 for one row in eight.
    factors = np.random.default_rng(SPLIT).integers(
        np.iinfo(np.uint64).max, size=tokens.shape[1], dtype=np.uint64
    )
    return (tokens.astype(np.uint64) * factors).sum(axis=1) >> np.uint64(61) == 0
