"""Noise with a planted dependence on an earlier step, of one kind for each sequence.

Attention heads can specialise on the kinds.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from experiments.rules import check_at_least
from experiments.tasks import task
from experiments.tasks.base import Sizes, TaskOptions
from experiments.tasks.batch import Batch
from experiments.tasks.values import Predict, ValuesTask
from runner.config import Evaluation

# The first number of a generator's key. It separates the draws of training, evaluation and tuning.
TRAIN, EVALUATION, TUNING = 1, 2, 3


@task("patterns")
@dataclass
class Patterns(TaskOptions):
    """Noise that depends on the previous step, on the step half a sequence ago, or a period ago."""

    has_planted_lags: ClassVar[bool] = True
    has_tuning_data: ClassVar[bool] = True

    length: int
    width: int
    n_eval: int
    local: float
    long_range: float
    periodic: float
    period: int
    predict: Predict

    def __post_init__(self) -> None:
        check_at_least(1, width=self.width)
        check_at_least(3, n_eval=self.n_eval)
        if not 2 <= self.period < self.length:
            raise ValueError(
                f"period={self.period} must be at least 2 and below length={self.length}"
            )
        for name in ("local", "periodic"):
            if not -1 < getattr(self, name) < 1:
                raise ValueError(
                    f"{name}={getattr(self, name)} must lie in (-1, 1), so that sequences do not "
                    "grow without bound"
                )

    def sizes(self) -> Sizes:
        """Return how large the task is."""
        held_out = 4 * self.n_eval * self.length * self.width
        return Sizes(self.length, n_outputs=self.width, n_eval=self.n_eval, data_bytes=held_out)

    def build(
        self,
        *,
        seed: int,
        batch_size: int,
        evaluation: Evaluation = Evaluation.report,
        **_: object,
    ) -> "PatternsTask":
        """Return the task."""
        return PatternsTask(self, seed, batch_size, evaluation)


class PatternsTask(ValuesTask):
    """Prediction or reconstruction of sequences (length, width) with dependent steps.

    A fixed rule makes each step depend on one earlier step. Each training step draws new sequences.
    With e standard normal:

        local        x[t] = local * x[t - 1] + e[t]
        long_range   x[t] = long_range * x[t - length // 2] + e[t]     (second half += first half)
        periodic     x[t] = periodic * x[t - period] + e[t]

    One feature of a sample of each label (length 20, 0.5, 1.0, 0.9, period 5), both ends:

        local         0.39  0.73  0.59  0.57  1.24 ... -2.52 -0.62 -0.64 -1.83 -0.68
        long_range   -1.11  0.79  0.76  1.25 -0.25 ...  1.01 -1.87 -1.82 -0.81 -1.11
        periodic     -0.30 -0.43  0.43  1.42 -0.91 ... -0.17  0.33 -0.12 -2.18 -0.12

    Features are independent but share the rule, so a model can infer it from the sequence.

    inputs and target are (batch, length, width) float32. The target is one step ahead with
    predict=next, and equal to the inputs with predict=reconstruct. The loss is the mean squared
    error. A model that knows the rule reaches 1, the variance of e, with predict=next, and 0 with
    predict=reconstruct.

    `lags[label]` is the number of steps from a query back to the key on which its target depends.
    `needs_lags` is False with predict=reconstruct, where the query itself holds the target.
    Split: training, report and tuning have generators with different keys. The numbers of
    sequences of the labels differ by at most one.
    Fingerprint: options and this code.
    """

    labels = ("local", "long_range", "periodic")

    def __init__(
        self, options: Patterns, seed: int, batch_size: int, evaluation: Evaluation
    ) -> None:
        super().__init__(seed=seed, batch_size=batch_size)
        self.width, self.predict = options.width, options.predict
        self._options = options
        self.needs_lags = options.predict is Predict.next
        self.lags = {
            label: lag - int(self.needs_lags)
            for label, lag in zip(self.labels, lags_and_strengths(options)[0], strict=True)
        }
        key = TUNING if evaluation is Evaluation.tuning else EVALUATION
        self.held_out = patterns(options, options.n_eval, [key])

    def batch(self, step: int) -> Batch:
        """Return new random sequences; the numbers of sequences of labels differ by at most one."""
        key = [TRAIN, self.seed, step]
        return self.collate(*patterns(self._options, self.batch_size, key))


def lags_and_strengths(
    options: Patterns,
) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Return the lag in steps and the factor of each label's dependence."""
    lags = (1, options.length // 2, options.period)
    return lags, (options.local, options.long_range, options.periodic)


def patterns(
    options: Patterns, n: int, key: list[int]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return `n` samples (n, length + 1, width) and their labels (n,), which alternate.

    The last step is only a target.
    """
    rng = np.random.default_rng(key)
    n_labels = len(PatternsTask.labels)
    # The first label is random, since the first ones may have one sequence more.
    label = (np.arange(n) + rng.integers(n_labels)) % n_labels
    samples = rng.standard_normal((n, options.length + 1, options.width), dtype=np.float32)
    for index, (lag, strength) in enumerate(zip(*lags_and_strengths(options), strict=True)):
        of_label = samples[label == index]
        for step in range(lag, options.length + 1):
            of_label[:, step] += strength * of_label[:, step - lag]
        samples[label == index] = of_label
    return samples, label
