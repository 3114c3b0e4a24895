"""Properties of every task of regression: batches, held-out data, targets, loss."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.tasks.base import TaskOptions
from experiments.tasks.batch import Task
from experiments.tasks.function import Function
from experiments.tasks.patterns import Patterns
from experiments.tasks.values import Predict
from experiments.tasks.waves import Waves

PATTERNS = {"local": 0.5, "long_range": 1.0, "periodic": 0.9, "period": 5}
AHEAD = [
    Waves("waves", 20, 4, n_samples=1000, n_eval=31, noise=0.1, predict=Predict.next),
    Patterns("patterns", 20, 4, n_eval=31, **PATTERNS, predict=Predict.next),
]
VALUE_BY_VALUE = Function("function", 20, 4, n_samples=100, n_eval=31, sin_weight=1, cos_weight=0.5)


def kind(options: TaskOptions) -> str:
    return options.kind


every = pytest.mark.parametrize("options", [*AHEAD, VALUE_BY_VALUE], ids=kind)


def build(options: TaskOptions, seed: int = 0) -> Task:
    return options.build(seed=seed, batch_size=8, cache=Path())


@every
def test_batches_are_pure_and_evaluation_ignores_the_seed(options: TaskOptions) -> None:
    task, other = build(options), build(options, seed=1)
    seventh = task.batch(7)
    task.batch(2)
    assert torch.equal(seventh.inputs[0], task.batch(7).inputs[0])
    assert not torch.equal(seventh.inputs[0], task.batch(8).inputs[0])
    assert not torch.equal(seventh.inputs[0], other.batch(7).inputs[0])
    assert np.ptp(np.bincount(seventh.label, minlength=len(task.labels))) <= 1
    pairs = list(zip(task.evaluation(), other.evaluation(), strict=True))
    assert [len(one.label) for one, _ in pairs] == [8, 8, 8, 7]
    assert all(torch.equal(one.target, two.target) for one, two in pairs)


@pytest.mark.parametrize("options", AHEAD, ids=kind)
def test_targets_are_one_step_ahead_or_the_same(options: Waves | Patterns) -> None:
    ahead = build(options).batch(3)
    same = build(replace(options, predict=Predict.reconstruct)).batch(3)
    assert torch.equal(same.inputs[0], same.target)
    assert torch.equal(same.inputs[0], ahead.inputs[0])
    assert torch.equal(ahead.inputs[0][:, 1:], ahead.target[:, :-1])


@every
def test_shapes(options: TaskOptions) -> None:
    batch = build(options).batch(0)
    assert batch.inputs[0].shape == batch.target.shape == (8, 20, 4)
    assert batch.inputs[0].dtype == batch.target.dtype == torch.float32
    assert batch.keep.shape == (8, 20)
    assert batch.keep.all()


@every
def test_loss_is_the_mean_square_over_kept_positions(options: TaskOptions) -> None:
    task = build(options)
    batch = task.batch(0)
    assert task.unit == "mse"
    assert task.loss(batch.target + 2, batch).item() == pytest.approx(4)
    batch.keep[:, 1:] = False
    wrong = batch.target.clone()
    wrong[:, 0] += 3
    wrong[:, 1:] += 100
    assert task.loss(wrong, batch).item() == pytest.approx(9)
