"""Random symbols, repeated, which only heads that find an earlier occurrence can predict."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from experiments.config import Induction
from experiments.tasks.batch import Batch
from runner.config import Evaluation

# The first numbers of a generator's key keep draws apart for every seed.
TRAIN, EVALUATION, SPLIT, TUNING = 1, 2, 3, 4
BEGIN = 0
"""The token that every sequence begins with; it occurs nowhere else."""


class InductionTask:
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

    labels: tuple[str, ...] = ("short", "long")
    unit = "nats/token"
    width: int | None = None

    def __init__(
        self,
        options: Induction,
        *,
        seed: int,
        batch_size: int,
        cache: Path,  # noqa: ARG002
        evaluation: Evaluation = Evaluation.report,
    ) -> None:
        self.vocabulary: int | None = options.vocabulary + 1
        self.seed = seed
        self.batch_size = batch_size
        self._options = options
        self._held_out = sequences(options, options.n_eval, [EVALUATION], held_out=True)
        if evaluation is Evaluation.tuning:
            self._held_out = sequences(
                options, options.n_eval, [TUNING], held_out=True, without=self._held_out[0]
            )

    def batch(self, step: int) -> Batch:
        """Fresh sequences, a pure function of the seed and the step."""
        key = [TRAIN, self.seed, step]
        return _batch(*sequences(self._options, self.batch_size, key, held_out=False))

    def evaluation(self) -> Iterator[Batch]:
        """The held-out sequences, the same for every seed. The last batch may be smaller."""
        tokens, label = self._held_out
        for first in range(0, len(tokens), self.batch_size):
            part = slice(first, first + self.batch_size)
            yield _batch(tokens[part], label[part])

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy of logits (batch, time, vocabulary + 1) over kept positions."""
        target = batch.target.masked_fill(~batch.keep, -100)
        return F.cross_entropy(prediction.flatten(0, 1), target.flatten(), ignore_index=-100)


def sequences(
    options: Induction,
    n: int,
    key: list[int],
    *,
    held_out: bool,
    without: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`n` sequences (n, 1 + length), whose last step is only a target, and their labels.

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
        chosen = is_held_out(tokens) == held_out
        begun = np.pad(tokens[chosen], ((0, 0), (1, 0)), constant_values=BEGIN)
        label = (2 * period[chosen] > options.max_period).astype(np.int64)
        if excluded:
            other = np.array([row.tobytes() not in excluded for row in begun], bool)
            begun, label = begun[other], label[other]
        found.append((begun, label))
    tokens, label = (np.concatenate(parts)[:n] for parts in zip(*found, strict=True))
    return tokens, label


def is_held_out(tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each row is kept for evaluation: one in eight, by a multiplicative hash."""
    factors = np.random.default_rng(SPLIT).integers(
        np.iinfo(np.uint64).max, size=tokens.shape[1], dtype=np.uint64
    )
    return (tokens.astype(np.uint64) * factors).sum(axis=1) >> np.uint64(61) == 0


def periods(tokens: Tensor) -> Tensor:
    """After how many steps each row (batch, time) repeats itself, its first token left out.

    The smallest number that fits; the number of steps, where nothing is repeated.
    """
    symbols = tokens[:, 1:]
    steps = symbols.shape[1]
    found = torch.full((len(symbols),), steps, device=tokens.device)
    for period in range(steps - 1, 0, -1):
        fits = (symbols[:, period:] == symbols[:, :-period]).all(dim=1)
        found[fits] = period
    return found


def _batch(tokens: NDArray[np.int64], label: NDArray[np.int64]) -> Batch:
    values = torch.from_numpy(tokens)
    target = values[:, 1:].contiguous()
    return Batch(
        inputs=(values[:, :-1].contiguous(),),
        target=target,
        keep=torch.ones(target.shape, dtype=torch.bool),
        label=torch.from_numpy(label),
    )
