"""The task `patterns` against its formulas."""

from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.tasks.batch import Task
from experiments.tasks.patterns import EVALUATION, TRAIN, Patterns, patterns
from experiments.tasks.values import Predict

LABELS = ("local", "long_range", "periodic")
LENGTH, WIDTH = 20, 4


def options(predict: Predict = Predict.next, **changes: float) -> Patterns:
    values = {"local": 0.5, "long_range": 1.0, "periodic": 0.9, "period": 5} | changes
    values = {"length": LENGTH, "width": WIDTH, "n_eval": 31} | values
    return Patterns("patterns", predict=predict, **values)  # type: ignore[arg-type]


def build(seed: int = 0, **changes) -> Task:
    return options(**changes).build(seed=seed, batch_size=32, cache=Path())


def sequences(label: int, n: int = 1500, **changes: float) -> np.ndarray:
    samples, labels = patterns(options(**changes), n, [0])
    return samples[labels == label]


@pytest.mark.parametrize(("label", "lag", "factor"), [(0, 1, 0.5), (1, 10, 1.0), (2, 5, 0.9)])
def test_what_is_left_without_the_dependence_is_white_noise(label, lag, factor) -> None:
    x = sequences(label, n=6000)
    noise = x.copy()
    noise[:, lag:] -= factor * x[:, :-lag]
    assert noise.std() == pytest.approx(1, abs=0.01)
    for back in range(1, LENGTH):
        product = (noise[:, back:] * noise[:, :-back]).mean()
        # 2000 sequences of 4 features and at least one step: five standard errors.
        assert abs(product) < 5 / np.sqrt(2000 * WIDTH * (LENGTH + 1 - back))


@pytest.mark.parametrize(("predict", "lags"), [("next", [0, 9, 4]), ("reconstruct", [1, 10, 5])])
def test_the_lags_name_the_key_that_the_target_depends_on(predict, lags) -> None:
    task = build(predict=Predict(predict), n_eval=3000)
    assert list(task.lags.values()) == lags
    batches = list(task.evaluation())
    for index, lag in enumerate(lags):
        x, y = (
            torch.cat([part(b)[b.label == index] for b in batches]).numpy()
            for part in (lambda b: b.inputs[0], lambda b: b.target)
        )
        size = {
            back: abs(np.corrcoef(x[:, : LENGTH - back].ravel(), y[:, back:].ravel())[0, 1])
            for back in range(predict == "reconstruct", LENGTH)
        }
        assert max(size, key=size.get) == lag


@pytest.mark.parametrize("label", range(3))
def test_a_least_squares_predictor_beats_the_mean(label) -> None:
    train, held_out = (patterns(options(), 3000, key) for key in ([TRAIN, 0, 1], [EVALUATION]))

    def lagged(samples: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = samples[labels == label]
        past = np.stack([x[:, LENGTH - back] for back in range(1, 13)], axis=-1)
        return past.reshape(-1, 12), x[:, LENGTH].ravel()

    past, target = lagged(*train)
    weights, *_ = np.linalg.lstsq(past, target, rcond=None)
    past, target = lagged(*held_out)
    error = ((past @ weights - target) ** 2).mean()
    assert error < 0.85 * ((target - target.mean()) ** 2).mean()
    assert error == pytest.approx(1, abs=0.1)  # the variance of the noise, which is unpredictable


def test_held_out_sequences_are_not_trained_on() -> None:
    # Seeds and steps that would collide with the held-out data's key if keys were not distinct.
    train = [
        build(seed=seed).batch(step).inputs[0] for seed in (0, 1, 2) for step in (0, 1, 2, 2018)
    ]
    trained_rows = {row.numpy().tobytes() for batch in train for row in batch}
    assert len(trained_rows) == 12 * 32  # and no batch repeats another
    held_out = [row.numpy().tobytes() for batch in build().evaluation() for row in batch.inputs[0]]
    assert not trained_rows.intersection(held_out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"period": 20}, "period=20 must be at least 2 and below length=20"),
        ({"local": 1.5}, r"local=1.5 must lie in \(-1, 1\)"),
        ({"width": 0}, "width=0"),
        ({"n_eval": 2}, "n_eval=2"),
    ],
)
def test_wrong_options_are_told(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        options(**changes)


def test_the_fingerprint_depends_on_every_option(tmp_path) -> None:
    variants = [{}, {"period": 4}, {"periodic": 0.3}, {"predict": Predict.reconstruct}]
    marks = [options(**changes).prepare(tmp_path).fingerprint for changes in variants]
    assert len(set(marks)) == len(variants)
    assert marks[0] == options().prepare(tmp_path).fingerprint
    assert not list(tmp_path.iterdir())
