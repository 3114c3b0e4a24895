"""Random symbols, repeated, which only heads that find an earlier occurrence can predict."""

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

# The first numbers of a generator's key keep draws apart for every seed.
TRAIN, EVALUATION, SPLIT, TUNING = 1, 2, 3, 4
BEGIN = 0
"""The token that every sequence begins with; it occurs nowhere else."""


@task("induction")
@dataclass
class Induction(TaskOptions):
    """Random symbols, repeated: r r r ..., with a period of its own for each sequence."""

    symbols: ClassVar[bool] = True
    repeats: ClassVar[bool] = True
    has_tuning_data: ClassVar[bool] = True

    length: int
    vocabulary: int
    max_period: int
    n_eval: int

    def __post_init__(self) -> None:
        # Fewer symbols have too few sequences of short periods to hold some of them out.
        check_at_least(16, vocabulary=self.vocabulary)
        check_at_least(3, max_period=self.max_period)
        check_at_least(1, n_eval=self.n_eval)
        if self.length < 2 * self.max_period:
            raise ValueError(
                f"length={self.length} must be at least twice max_period={self.max_period}, so "
                "that every second copy is whole"
            )

    def check_tuning(self) -> None:
        """Raise ValueError where the report may use up most of the held-out sequences there are."""
        # One in eight sequences is held out; the report draws at most a quarter of them.
        if self.n_eval > (most := self.vocabulary**self.max_period // 32):
            raise ValueError(
                f"task.n_eval={self.n_eval} leaves tuning too few held-out sequences that the "
                f"report does not use; with task.vocabulary={self.vocabulary} and task.max_period="
                f"{self.max_period} it must be at most {most}, or type tune=none"
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

    r is uniformly random, of a period that is drawn for each sequence from 1 to max_period, so that
    looking a fixed number of steps back does not do. A sample of length 17, period 5, 64 symbols:

        tokens    [begin]  12 55  3 55 40   12 55  3 55 40   12 55  3 55 40   12 55
        copy                1  1  1  1  1    2  2  2  2  2    3  3  3  3  3    4  4

    inputs are (batch, length) int64, symbols 1 to vocabulary behind BEGIN, and target the same one
    step ahead; nothing is padding. The loss is the cross-entropy in nats a token. In the first copy
    nobody does better than log(vocabulary), and hardly at the first symbol of the second, since
    nothing says that it begins. Behind it a symbol that occurs once in r tells the next; one that
    occurs again (55) needs those before it too: at 64 symbols, looking up the last symbol alone is
    right in nine of ten cases where its first occurrence is taken, in four of five where the most
    recent one is. Labels tell short periods, up to half of max_period,
    from long ones. Split: a hash of the whole sequence holds one in eight out, and the same
    sequence is never on both sides, nor both in the report and in tuning. Fingerprint: options and
    this code.
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
        """Return fresh sequences, a pure function of the seed and the step."""
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
    """Return `n` sequences (n, 1 + length), whose last step is only a target, and their labels.

    None is among the sequences `without`.
    """
    excluded = set() if without is None else {row.tobytes() for row in without}
    draw = np.random.default_rng(key)
    place = np.arange(options.length)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    while sum(len(label) for _, label in found) < n:
        period = draw.integers(1, options.max_period + 1, n)
        r = draw.integers(1, options.vocabulary + 1, (n, options.max_period))
        tokens = r[np.arange(n)[:, None], place % period[:, None]]
        chosen = held_out_mask(tokens) == held_out
        begun = np.pad(tokens[chosen], ((0, 0), (1, 0)), constant_values=BEGIN)
        label = (2 * period[chosen] > options.max_period).astype(np.int64)
        if excluded:
            other = np.array([row.tobytes() not in excluded for row in begun], bool)
            begun, label = begun[other], label[other]
        found.append((begun, label))
    tokens, label = (np.concatenate(parts)[:n] for parts in zip(*found, strict=True))
    return tokens, label


def held_out_mask(tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell whether each row is kept for evaluation: one in eight, by a multiplicative hash."""
    factors = np.random.default_rng(SPLIT).integers(
        np.iinfo(np.uint64).max, size=tokens.shape[1], dtype=np.uint64
    )
    return (tokens.astype(np.uint64) * factors).sum(axis=1) >> np.uint64(61) == 0
