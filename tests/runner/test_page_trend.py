"""Page's exact test against scipy, hand-worked numbers and naive enumeration."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from runner.stats.page_trend import least_page_p, page_p


def naive(table):
    """One-sided p-values by permuting the values themselves within every block."""
    ranks = [scipy.stats.rankdata(row) for row in table]
    numbers = np.arange(1, len(table[0]) + 1)
    observed = sum(rank @ numbers for rank in ranks)
    sums = [
        sum(np.dot(order, numbers) for order in orders)
        for orders in itertools.product(*(list(itertools.permutations(rank)) for rank in ranks))
    ]
    return np.mean(np.array(sums) >= observed - 1e-9), np.mean(np.array(sums) <= observed + 1e-9)


@pytest.mark.parametrize(("blocks", "levels"), [(2, 3), (8, 3), (6, 4), (10, 5), (20, 3), (3, 7)])
def test_it_agrees_with_scipys_exact_method(blocks, levels):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        table = rng.normal(size=(blocks, levels)) + 0.3 * np.arange(levels)
        rising, falling = page_p(table)
        expected = [
            scipy.stats.page_trend_test(way, method="exact").pvalue
            for way in (table, table[:, ::-1])
        ]
        assert (rising, falling) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_by_hand():
    # Three levels, one block: L of the six orders is 14 13 13 11 11 10
    assert page_p([[1.0, 2.0, 3.0]]) == pytest.approx((1 / 6, 1))
    assert page_p([[1.0, 3.0, 2.0]]) == pytest.approx((3 / 6, 5 / 6))
    assert page_p([[3.0, 2.0, 1.0]] * 2) == pytest.approx((1, 1 / 36))


def test_ties_have_the_distribution_of_the_ties_at_hand():
    tied = [[1.0, 1.0, 2.0], [1.0, 2.0, 3.0], [0.0, 5.0, 5.0]]
    assert page_p(tied) == pytest.approx(naive(tied))
    assert page_p([[1.0, 1.0, 1.0]] * 4) == pytest.approx((1, 1))


def test_the_smallest_p_is_that_of_perfect_order():
    table = np.tile(np.arange(4.0), (3, 1))
    assert page_p(table)[0] == pytest.approx(least_page_p(4, 3)) == math.factorial(4) ** -3


def test_eight_levels_and_twenty_blocks_are_exact_and_close_to_the_normal_limit():
    table = np.random.default_rng(0).normal(size=(20, 8)) + 0.05 * np.arange(8)
    expected = scipy.stats.page_trend_test(table, method="asymptotic").pvalue
    assert page_p(table)[0] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    "table",
    [np.ones((4, 2)), np.ones((4, 9)), np.ones((21, 3)), np.ones(3), [[1.0, math.nan, 2.0]]],
)
def test_what_cannot_be_answered_is_a_value_error(table):
    with pytest.raises(ValueError):  # noqa: PT011 - five tables, one rule
        page_p(table)
