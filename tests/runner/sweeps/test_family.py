"""All points of a sweep are one family of tests."""

import numpy as np
import pandas as pd
import pytest

from runner.stats.intervals import holm
from runner.stats.max_t import max_t_p
from runner.sweeps.family import HOLM, MAX_T, correct_over_points
from tests.support.sample_sweep import comparison_row

P_OF = (0.0078125, 0.015625, 0.03125)


def table(*p_values: float, n: int = 8, **fields: object) -> pd.DataFrame:
    rows = [comparison_row(i, p=p, p_sign_flip=p, n=n, **fields) for i, p in enumerate(p_values, 1)]
    return pd.DataFrame(rows).drop(columns=["p_holm", "p_sweep", "sweep_standing"])


def test_without_common_seeds_all_comparisons_are_corrected_by_holm():
    family = correct_over_points(table(*P_OF, n=9))
    assert (family.method, family.n_tests, family.n_points) == (HOLM, 3, 3)
    assert family.comparison["p_sweep"].tolist() == pytest.approx(holm(P_OF).tolist())
    assert family.comparison["p_sweep"].tolist() == pytest.approx([0.0234375, 0.03125, 0.03125])
    assert "3 comparisons at 3 points are one family of tests" in family.sentences[0]
    assert HOLM in family.sentences[0]


def test_points_with_common_seeds_are_tested_jointly():
    draw = np.random.default_rng(1)
    effects = np.array([1.0, 0.5, 0.0, 2.0])
    columns = draw.normal(size=(8, 4)) * 0.3 + effects
    series = [pd.Series(columns[:, i], index=range(8)) for i in range(4)]
    family = correct_over_points(table(*[0.01] * 4), series)
    assert family.method == MAX_T
    assert family.comparison["p_sweep"].tolist() == pytest.approx(max_t_p(columns).tolist())
    assert family.comparison["sweep_standing"].tolist()[0] == "better"
    assert family.comparison["sweep_standing"].tolist()[2] == "no significant difference"
    assert family.least_p == pytest.approx(2 / 2**8)


@pytest.mark.parametrize("other", [pd.Series([1.0] * 8, index=range(1, 9)), None])
def test_one_comparison_with_other_seeds_leaves_all_to_holm(other: pd.Series | None):
    first = pd.Series(np.linspace(1, 2, 8), index=range(8))
    family = correct_over_points(table(0.01, 0.01), [first, other])
    assert family.method == HOLM
    assert family.comparison["p_sweep"].equals(family.comparison["p_holm"])


def test_a_result_that_fails_the_correction_is_not_distinguished():
    family = correct_over_points(table(0.004, 0.03, 0.04, n=9))
    assert family.comparison["sweep_standing"].tolist() == [
        "better",
        "no significant difference",
        "no significant difference",
    ]
    assert family.comparison["standing"].tolist() == ["better"] * 3


def test_too_few_seeds_leave_every_test_undecided_and_say_how_many_decide():
    family = correct_over_points(table(*[2 / 2**6] * 9, n=6))
    assert set(family.comparison["sweep_standing"]) == {"undecided"}
    assert family.least_p == pytest.approx(9 * 2 / 2**6)
    assert "n_seeds=9 could decide" in family.sentences[1]
    assert family.least_seeds == 9


def test_a_second_look_is_stricter():
    family = correct_over_points(table(0.03, n=9, n_looks=2))
    assert family.comparison["sweep_standing"].tolist() == ["no significant difference"]
    assert correct_over_points(table(0.03, n=9)).comparison["sweep_standing"].tolist() == ["better"]


def test_the_page_names_the_limit_of_a_later_look():
    family = correct_over_points(table(0.01, 0.01, n=9, n_looks=2))
    assert "so that the limit is as low as 0.025 for some points." in family.sentences[1]


def test_seeds_that_cannot_reach_the_limit_of_a_later_look_leave_it_undecided():
    # With 6 seeds the least max-T p is 2 / 2^6 = 0.03125: below 0.05, above 0.05 / 2.
    series = [pd.Series(np.linspace(1, 2, 6) + i) for i in range(2)]
    looks = pd.concat([table(0.03125, n=6), table(0.03125, n=6, n_looks=2)], ignore_index=True)
    family = correct_over_points(looks, series)
    assert family.comparison["sweep_standing"].tolist() == ["better", "undecided"]
    assert (
        "0.031, so that no arm can be called better or worse where the limit is lower; n_seeds=7"
        in (family.sentences[-1])
    )
    every = correct_over_points(table(0.03125, 0.03125, n=6, n_looks=2), series)
    assert {*every.comparison["sweep_standing"]} == {"undecided"}
    assert "better or worse; n_seeds=7 could decide." in every.sentences[-1]


def test_exact_and_undecided_comparisons_stay_and_are_no_tests():
    rows = pd.concat([table(np.nan), table(np.nan, standing="undecided")], ignore_index=True)
    family = correct_over_points(rows)
    assert family.n_tests == 0
    assert family.sentences == []
    assert family.comparison["sweep_standing"].tolist() == ["better", "undecided"]


def test_a_sweep_without_comparisons_has_an_empty_family():
    family = correct_over_points(table(0.01).iloc[:0])
    assert family.n_tests == 0
    assert len(family.comparison) == 0
