"""The task `function` against its formula."""

from pathlib import Path

import numpy as np
import pytest

from experiments.tasks.batch import Task
from experiments.tasks.function import EVALUATION_SEED, TRAIN_SEED, Function, draw_inputs


def options(a: float = 1.0, b: float = 0.5, n: int = 100, width: int = 3) -> Function:
    return Function("function", 5, width, n_samples=n, n_eval=31, sin_weight=a, cos_weight=b)


def build(seed: int = 0, batch_size: int = 8, **changes: object) -> Task:
    return options(**changes).build(seed=seed, batch_size=batch_size, cache=Path())  # type: ignore[arg-type]


@pytest.mark.parametrize(("a", "b"), [(1.0, 0.5), (1.0, 1.0), (0.0, -2.0)])
def test_target_is_the_formula_value_by_value(a: float, b: float) -> None:
    batch = build(a=a, b=b).batch(3)
    x = batch.inputs[0].numpy().astype(np.float64)
    assert batch.target.numpy() == pytest.approx(a * np.sin(x) + b * np.cos(2 * x), abs=1e-6)


def test_the_sample_in_the_docstring_is_a_sample() -> None:
    x = draw_inputs(options(width=64), 1, TRAIN_SEED)[0, :, 0]
    assert x.round(2).tolist() == pytest.approx([0.07, 0.29, -1.35, -0.49, 0.15])
    target = np.sin(x) + 0.5 * np.cos(2 * x)
    assert target.round(2).tolist() == pytest.approx([0.56, 0.70, -1.43, -0.19, 0.63])


def test_what_the_mean_alone_leaves() -> None:
    # x ~ N(0, 1): Var sin x = (1 - e^-2) / 2, Var cos 2x = (1 + e^-8) / 2 - e^-4, no covariance.
    expected = (1 - np.exp(-2)) / 2 + 0.25 * ((1 + np.exp(-8)) / 2 - np.exp(-4))
    assert expected == pytest.approx(0.4323 + 0.25 * 0.4819, abs=1e-4)
    target = build(batch_size=2000, n=2000, width=20).batch(0).target
    assert float(target.var()) == pytest.approx(expected, rel=0.02)


def test_held_out_samples_are_not_trained_on() -> None:
    train, held_out = (
        draw_inputs(options(), 100, TRAIN_SEED),
        draw_inputs(options(), 31, EVALUATION_SEED),
    )
    assert not set(train.ravel().tolist()) & set(held_out.ravel().tolist())
    drawn = {row.numpy().tobytes() for step in range(50) for row in build().batch(step).inputs[0]}
    assert drawn <= {row.tobytes() for row in train}
    evaluated = {row.numpy().tobytes() for batch in build().evaluation() for row in batch.inputs[0]}
    assert evaluated == {row.tobytes() for row in held_out}


def test_a_batch_larger_than_the_data_repeats_samples() -> None:
    assert len(build(n=3, batch_size=8).batch(0).label) == 8
    assert len({row.numpy().tobytes() for row in build(batch_size=100).batch(0).inputs[0]}) == 100


def test_the_fingerprint_is_of_the_options(tmp_path: Path) -> None:
    one, two = (options(b=b).prepare(tmp_path).fingerprint for b in (0.5, 1.0))
    assert one != two
    assert one == options().prepare(tmp_path).fingerprint
    assert not list(tmp_path.iterdir())


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"n_samples=0"):
        options(n=0)
