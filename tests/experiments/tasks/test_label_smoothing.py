"""Label smoothing: torch's formula in training, and no smoothing in reported losses."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.tasks.batch import Batch
from experiments.tasks.numbers import Numbers, SourceUnit
from experiments.tasks.pairs15 import Pairs15
from experiments.tasks.translation import TranslationTask

EPSILON = 0.1


def build(smoothing: float, kind: str = "numbers") -> TranslationTask:
    options = (
        Numbers("numbers", 5, 1, True, SourceUnit.word, 300, 20, smoothing)
        if kind == "numbers"
        else Pairs15("pairs15", smoothing)
    )
    task = options.build(seed=0, batch_size=8, cache=Path())
    assert isinstance(task, TranslationTask)
    return task


def logits_for(task: TranslationTask, batch: Batch) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(*batch.target.shape, len(task.target), generator=draw, requires_grad=True)


@pytest.mark.parametrize("kind", ["numbers", "pairs15"])
def test_the_training_loss_is_that_of_torch(kind: str) -> None:
    task = build(EPSILON, kind)
    batch = task.batch(3)
    logits = logits_for(task, batch)
    real_pairs = logits[batch.keep], batch.target[batch.keep]
    expected = F.cross_entropy(*real_pairs, label_smoothing=EPSILON)
    torch.testing.assert_close(task.loss(logits, batch), expected)
    # By hand: 1 - epsilon for the right token, and epsilon spread equally over all tokens.
    log_p = real_pairs[0].log_softmax(dim=-1)
    right = log_p.gather(1, real_pairs[1][:, None]).squeeze(1)
    by_hand = -((1 - EPSILON) * right + EPSILON * log_p.mean(dim=-1)).mean()
    torch.testing.assert_close(task.loss(logits, batch), by_hand)


@pytest.mark.parametrize("kind", ["numbers", "pairs15"])
def test_no_split_is_smoothed_even_where_there_are_gradients(kind: str) -> None:
    task = build(EPSILON, kind)
    for name in task.labels:
        for batch in task.split(name):
            logits = logits_for(task, batch)
            plain = F.cross_entropy(logits[batch.keep], batch.target[batch.keep])
            assert torch.equal(task.loss(logits, batch), plain)
    for batch, same in zip(task.evaluation(), build(0.0, kind).evaluation(), strict=True):
        logits = logits_for(task, batch)
        assert torch.equal(task.loss(logits, batch), task.loss(logits, same))


def test_a_batch_to_learn_from_is_the_same_but_for_its_smoothing() -> None:
    smooth, plain = build(EPSILON).batch(5), build(0.0).batch(5)
    assert torch.equal(smooth.target, plain.target)
    assert torch.equal(smooth.inputs[0], plain.inputs[0])
    assert (smooth.label_smoothing, plain.label_smoothing) == (EPSILON, 0)


def test_parts_of_a_batch_and_its_copy_on_a_device_are_smoothed_as_it_is() -> None:
    batch = build(EPSILON).batch(0)
    for part in (*batch.split(4), batch.to(torch.device("cpu"))):
        assert part.label_smoothing == EPSILON


def test_the_best_prediction_of_smoothed_targets_costs_what_theory_says() -> None:
    """The plain loss of p = 1 - epsilon + epsilon / K, for K tokens, is the cost of smoothing."""
    task = build(EPSILON)
    batch, n = task.batch(0), len(task.target)
    target = F.one_hot(batch.target, n) * (1 - EPSILON) + EPSILON / n
    logits = target.log().requires_grad_()
    task.loss(logits, batch).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-8  # nothing is better
    expected = -math.log(1 - EPSILON + EPSILON / n)
    assert task.loss(logits, replace(batch, label_smoothing=0.0)).item() == pytest.approx(expected)
