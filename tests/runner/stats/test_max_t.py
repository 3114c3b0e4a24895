"""The max-T test against a naive enumeration, and the limits of its families."""

import itertools
import math

import numpy as np
import pytest

from runner.stats.max_t import (
    least_max_t_p,
    least_seeds,
    max_t_p,
    sign_patterns,
    standing_detectable_effect,
)
from runner.stats.sign_flip import least_sign_flip_p, sign_flip_p


def naive(differences):
    """Return the share of all 2^n patterns whose largest |t| reaches that of each comparison."""

    def t(table):
        error = table.std(axis=0, ddof=1) / len(table) ** 0.5
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num(np.abs(table.mean(axis=0)) / error, posinf=1e9)

    observed = t(differences)
    signs = itertools.product([1, -1], repeat=len(differences))
    largest = np.array([t(np.array(s)[:, None] * differences).max() for s in signs])
    return (largest[:, None] >= observed * (1 - 1e-9)).mean(axis=0)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(0.4, 1, shape)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 11])
def test_one_comparison_is_the_sign_flip_test(n):
    for seed in range(5):
        sample = draw(seed, n)
        assert max_t_p(sample[:, None]) == pytest.approx([sign_flip_p(sample)], abs=1e-15)


@pytest.mark.parametrize(("n", "comparisons"), [(2, 2), (4, 3), (7, 5), (8, 2)])
def test_p_is_exact(n, comparisons):
    for seed in range(5):
        table = draw(seed, n, comparisons)
        assert max_t_p(table) == pytest.approx(naive(table), abs=1e-15)


def test_ties_count_as_reached_also_where_rounding_parts_them():
    for seed in range(10):
        table = np.random.default_rng(seed).integers(-3, 4, (7, 3)) / 10
        assert max_t_p(table) == pytest.approx(naive(table), abs=1e-15)


def test_comparisons_that_share_all_noise_cost_nothing():
    sample = draw(1, 8)
    single_p = sign_flip_p(sample)
    assert max_t_p(np.stack([sample, 3 * sample, -sample], axis=1)).tolist() == [single_p] * 3


def test_units_and_signs_of_a_comparison_do_not_count():
    table = draw(2, 8, 3)
    p = max_t_p(table)
    assert max_t_p(table * [1e-30, 1.0, -1e30]).tolist() == p.tolist()
    assert max_t_p(table[::-1, ::-1])[::-1].tolist() == p.tolist()


def test_a_comparison_of_zeros_has_p_1_and_changes_no_other():
    table = draw(3, 8, 2)
    p = max_t_p(np.column_stack([table, np.zeros(8)]))
    assert p.tolist() == [*max_t_p(table), 1.0]
    assert max_t_p(np.zeros((4, 2))).tolist() == [1.0, 1.0]


def test_a_larger_family_and_a_smaller_t_never_lower_p():
    table = draw(4, 9, 6)
    p = [max_t_p(table[:, :k])[0] for k in range(1, 7)]
    assert p == sorted(p)
    t = np.abs(table.mean(axis=0)) / table.std(axis=0)
    assert max_t_p(table)[np.argsort(-t)].tolist() == sorted(max_t_p(table))


def test_the_least_p_does_not_grow_with_the_family():
    for n in (6, 8, 14):
        table = draw(5, n, 12)
        table[:, 0] = 1.0
        assert max_t_p(table)[0] == least_max_t_p(n) == least_sign_flip_p(n) == 2 / 2**n


def test_leading_axes_are_families_of_their_own():
    tables = draw(6, 2, 3, 7, 4)
    p_values = max_t_p(tables)
    assert p_values.shape == (2, 3, 4)
    for i, j in itertools.product(range(2), range(3)):
        assert p_values[i, j].tolist() == max_t_p(tables[i, j]).tolist()
    assert max_t_p(np.empty((5, 8, 0))).shape == (5, 0)
    assert max_t_p(np.empty((8, 0))).shape == (0,)


def test_blocks_of_patterns_do_not_show(monkeypatch):
    table = draw(7, 9, 3)
    p = max_t_p(table)
    monkeypatch.setattr("runner.stats.max_t.CHUNK_SIZE", 10)
    assert max_t_p(table).tolist() == p.tolist()


def test_patterns_are_all_up_to_their_common_sign():
    signs = sign_patterns(6)
    assert len({tuple(row) for row in signs} | {tuple(-row) for row in signs}) == 64
    assert set(np.unique(signs)) == {-1.0, 1.0}


def test_above_fourteen_seeds_p_is_sampled_repeatable_and_close_to_exact():
    table = draw(8, 14, 2) * [1.0, 0.3]
    exact = max_t_p(table)
    longer = np.vstack([table, np.zeros((1, 2))])  # keeps the exact p, and is a 15th seed
    sampled = max_t_p(longer)
    assert sampled.tolist() == max_t_p(longer).tolist()
    assert sampled == pytest.approx(exact, abs=4 * (0.25 / 20_000) ** 0.5)
    assert max_t_p(np.ones((20, 1))).tolist() == [least_max_t_p(20)] == [1 / 20_000]


def test_least_seeds_is_the_first_number_that_can_reach_a_level():
    for alpha in (0.2, 0.05, 0.025, 0.05 / 3, 1 / 32, 0.01):
        n = least_seeds(alpha)
        assert least_max_t_p(n) < alpha <= least_max_t_p(n - 1)
    assert least_seeds(0.05) == 6


def test_the_detectable_effect_is_infinite_below_the_least_seeds_and_scales_with_the_spread():
    assert standing_detectable_effect(1.0, 5, 1) == math.inf
    assert standing_detectable_effect(1.0, 6, 3, alpha=0.025) == math.inf
    assert standing_detectable_effect(0.0, 5, 1) == math.inf
    assert standing_detectable_effect(0.0, 8, 4) == 0
    assert (
        standing_detectable_effect(3.0, 8, 4)
        == 3 * standing_detectable_effect(1.0, 8, 4)
        < math.inf
    )


def test_the_detectable_effect_grows_with_the_family_and_power_and_falls_with_seeds():
    assert standing_detectable_effect(1, 8, 1) < standing_detectable_effect(1, 8, 6)
    assert standing_detectable_effect(1, 10, 6) < standing_detectable_effect(1, 8, 6)
    assert standing_detectable_effect(1, 8, 6) < standing_detectable_effect(1, 8, 6, power=0.9)
    assert standing_detectable_effect(1, 8, 6) < standing_detectable_effect(1, 8, 6, alpha=0.025)


@pytest.mark.parametrize(
    "call",
    [
        lambda: max_t_p(np.array([1.0, 2.0])),
        lambda: max_t_p(np.empty((0, 3))),
        lambda: max_t_p(np.array([[1.0, math.nan]])),
        lambda: max_t_p(np.array([[1.0], [math.inf]])),
        lambda: least_seeds(0.0),
        lambda: least_seeds(5),
        lambda: standing_detectable_effect(math.nan, 8, 1),
        lambda: standing_detectable_effect(-1.0, 8, 1),
        lambda: standing_detectable_effect(1.0, 1, 1),
        lambda: standing_detectable_effect(1.0, 8, 0),
        lambda: standing_detectable_effect(1.0, 8, 1, power=80),
        lambda: standing_detectable_effect(1.0, 8, 1, alpha=5),
    ],
)
def test_what_cannot_be_answered_is_a_value_error(call):
    with pytest.raises(ValueError):  # noqa: PT011 - many messages, one rule
        call()
