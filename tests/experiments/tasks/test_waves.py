"""The task `waves` against its formulas."""

from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.tasks.batch import Task
from experiments.tasks.values import Predict
from experiments.tasks.waves import EVALUATION_SEED, TRAIN_SEED, Waves, waves


def options(noise: float = 0.0, predict: Predict = Predict.reconstruct, n: int = 1000) -> Waves:
    return Waves("waves", 20, 4, n_samples=n, n_eval=31, noise=noise, predict=predict)


def build(seed: int = 0, **changes: object) -> Task:
    return options(**changes).build(seed=seed, batch_size=32, cache=Path())  # type: ignore[arg-type]


def test_sines_without_noise_are_the_formula() -> None:
    batch = build().batch(0)
    for index, end in ((0, 4 * np.pi), (1, 20 * np.pi)):
        wave = torch.from_numpy(np.sin(np.linspace(0, end, 20))).float()[:, None].expand(20, 4)
        for sample in batch.inputs[0][batch.label == index]:
            torch.testing.assert_close(sample, wave, atol=1e-5, rtol=0)


def test_noise_is_independent_and_of_the_size_asked_for() -> None:
    samples, label = waves(options(noise=0.1), 3000, 0)
    clean, _ = waves(options(noise=0.0), 3000, 0)
    for index, size in ((0, 0.1), (1, 0.1)):
        rest = (samples - clean)[label == index]
        assert rest.std() == pytest.approx(size, rel=0.02)
        assert abs(np.corrcoef(rest[:, :, 0].ravel(), rest[:, :, 1].ravel())[0, 1]) < 0.05
    assert samples[label == 2].std() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("n", [3, 1000])
def test_labels_are_equally_many_and_stay_with_their_samples(n: int) -> None:
    samples, label = waves(options(), n, 0)
    assert np.ptp(np.bincount(label)) <= 1
    assert len(samples) == len(label) == n
    assert np.bincount(build(n=n).batch(1).label).tolist() in (
        [11, 11, 10],
        [11, 10, 11],
        [10, 11, 11],
    )


def test_held_out_samples_are_not_trained_on() -> None:
    train, _ = waves(options(noise=0.1), 300, TRAIN_SEED)
    held_out, _ = waves(options(noise=0.1), 31, EVALUATION_SEED)
    assert not {row.tobytes() for row in train} & {row.tobytes() for row in held_out}
