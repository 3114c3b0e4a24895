"""The task `induction`: repetition, predictable positions, and held-out sequences."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.probes.heads.copying import find_periods
from experiments.tasks.batch import Batch, Task
from experiments.tasks.induction import BEGIN, Induction, draw_sequences, held_out_mask

LENGTH, VOCABULARY, MAX_PERIOD = 20, 32, 8


def options(**changes: int) -> Induction:
    values = {"length": LENGTH, "vocabulary": VOCABULARY, "max_period": MAX_PERIOD, "n_eval": 50}
    return Induction("induction", **values | changes)


def build(seed: int = 0, **changes: int) -> Task:
    return options(**changes).build(seed=seed, batch_size=16, cache=Path())


def rows(*batches: Batch) -> np.ndarray:
    """Return whole sequences, the last target included."""
    return np.concatenate(
        [torch.cat([batch.inputs[0], batch.target[:, -1:]], 1).numpy() for batch in batches]
    )


def test_shapes_and_what_is_predicted() -> None:
    task = build()
    batch = task.batch(1)
    assert (task.vocabulary, task.width, task.unit) == (VOCABULARY + 1, None, "nats/token")
    assert batch.inputs[0].shape == batch.target.shape == batch.keep.shape == (16, LENGTH)
    assert torch.equal(batch.inputs[0][:, 1:], batch.target[:, :-1])
    assert (batch.inputs[0][:, 0] == BEGIN).all()
    assert batch.target.min() > BEGIN
    assert batch.target.max() <= VOCABULARY
    assert batch.keep.all()


def test_sequences_repeat_with_periods_of_every_length() -> None:
    tokens, label = draw_sequences(options(), 4000, [0], held_out=False)
    periods = find_periods(torch.from_numpy(tokens)).numpy()
    for row, period in zip(tokens[:200], periods[:200], strict=True):
        symbols = row[1:]
        assert (symbols[period:] == symbols[:-period]).all()
        for shorter in range(1, period):
            assert (symbols[shorter:] != symbols[:-shorter]).any()
    counts = np.bincount(periods, minlength=MAX_PERIOD + 1)
    # 500 each, five standard errors; of the 32 sequences of one symbol more or fewer are held out.
    assert counts[0] == 0
    assert (abs(counts[2:] - 500) < 5 * np.sqrt(500) + 40).all()
    # A short period whose symbols happen to repeat is shorter still, and nothing is longer.
    assert ((2 * periods > MAX_PERIOD) <= label).all()
    assert (label == 0).sum() == pytest.approx(2000, abs=160)


@pytest.mark.parametrize(
    ("tokens", "period"),
    [
        ([0, 5, 6, 7, 5, 6, 7], 3),
        ([0, 4, 4, 4, 4, 4, 4], 1),
        ([0, 1, 2, 3, 4, 5, 1], 5),
        ([0, 1, 1, 2, 1, 1, 2], 3),
        ([0, 1, 2, 3, 4, 5, 6], 6),
    ],
)
def test_the_period_of_a_row(tokens: list[int], period: int) -> None:
    assert find_periods(torch.tensor([tokens, [0, 1, 2, 1, 2, 1, 2]])).tolist() == [period, 2]


def test_symbols_of_a_first_copy_are_uniform_and_independent() -> None:
    tokens, _ = draw_sequences(options(), 9000, [0], held_out=False)
    # Of shorter periods whole symbols are held out.
    tokens = tokens[find_periods(torch.from_numpy(tokens)).numpy() > 2]
    for symbols in (tokens[:, 1], tokens[:, 3], (tokens[:, 1] + tokens[:, 2]) % VOCABULARY + 1):
        expected = len(symbols) / VOCABULARY
        counts = np.bincount(symbols, minlength=VOCABULARY + 1)[1:]
        # Chi-square of 31 degrees of freedom; one in a million is above 86.
        assert ((counts - expected) ** 2 / expected).sum() < 86


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    task = build()
    seventh = rows(task.batch(7))
    task.batch(3)
    assert (rows(task.batch(7)) == seventh).all()
    assert (rows(build().batch(7)) == seventh).all()
    assert (rows(task.batch(8)) != seventh).any()
    assert (rows(build(seed=1).batch(7)) != seventh).any()


def test_nothing_held_out_is_trained_on() -> None:
    # Periods 1 and 2 have 32 + 1024 sequences, which would meet again without a split.
    held_out = [build(seed=seed, max_period=3, n_eval=400).evaluation() for seed in (0, 3)]
    one, other = (rows(*batches) for batches in held_out)
    assert (one == other).all()
    assert len(one) == 400
    task = build(max_period=3)
    trained = rows(*(task.batch(step) for step in range(300)))
    held_out_rows, trained_rows = ({row.tobytes() for row in part} for part in (one, trained))
    assert len(held_out_rows) > 50
    assert not held_out_rows & trained_rows
    anything = np.random.default_rng(0).integers(1, VOCABULARY + 1, (16_000, LENGTH))
    assert held_out_mask(anything).sum() == pytest.approx(2000, abs=5 * math.sqrt(2000 * 7 / 8))


def test_loss_is_the_mean_over_kept_positions() -> None:
    task = build()
    batch = task.batch(0)
    even = torch.zeros(16, LENGTH, VOCABULARY + 1)
    assert task.loss(even, batch).item() == pytest.approx(math.log(VOCABULARY + 1), rel=1e-6)
    keep = torch.zeros(16, LENGTH, dtype=torch.bool)
    keep[2, 5] = True
    logits = torch.randn(16, LENGTH, VOCABULARY + 1)
    expected = -logits[2, 5].log_softmax(0)[batch.target[2, 5]]
    only = Batch(batch.inputs, batch.target, keep, batch.label)
    torch.testing.assert_close(task.loss(logits, only), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 15}, "length=15 must be at least twice max_period=8"),
        ({"vocabulary": 15}, "vocabulary=15"),
        ({"max_period": 2}, "max_period=2"),
        ({"n_eval": 0}, "n_eval=0"),
    ],
)
def test_wrong_options_are_told(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(**changes)


def test_the_fingerprint_depends_on_every_option(tmp_path: Path) -> None:
    variants = [{}, {"length": 30}, {"vocabulary": 40}, {"max_period": 9}, {"n_eval": 9}]
    marks = [options(**changes).prepare(tmp_path).fingerprint for changes in variants]
    assert len(set(marks)) == len(variants)
    assert marks[0] == options().prepare(tmp_path).fingerprint
    assert not list(tmp_path.iterdir())
