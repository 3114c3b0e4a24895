"""Orders of pruning, curves and what can go."""

import math

import pytest
import torch

from experiments.probes.heads.ablation import ablate_heads, all_heads, mean_outputs, split_even_odd
from experiments.probes.heads.copying import make_copy_accuracy
from experiments.probes.heads.pruning import (
    ORDERS,
    area_under_curve,
    mean_curve_rows,
    prunable_share,
    pruning_curve,
    removal_orders,
)
from tests.support.attention_models import make_attention_model, make_induction_task

TAYLOR = [[0.1, 0.9, 0.3, 0.2], [0.8, 0.05, 0.4, 0.5]]
ENTROPY = [[2.0, 0.1, 1.0, 3.0], [0.2, 0.3, 0.4, 0.5]]
LEAST_FIRST = [(1, 1), (0, 0), (0, 3), (0, 2), (1, 2), (1, 3), (1, 0), (0, 1)]


def made(seed: int = 0, n_random: int = 5):
    return removal_orders(
        make_attention_model(), taylor=TAYLOR, entropy=ENTROPY, n_random=n_random, seed=seed
    )


def test_orders_are_what_their_names_say() -> None:
    found = made()
    assert tuple(found) == ORDERS
    assert found["taylor"] == [LEAST_FIRST]
    assert found["reversed"] == [LEAST_FIRST[::-1]]
    assert found["entropy"][0][:3] == [(0, 3), (0, 0), (0, 2)]  # the broadest first
    for several in found.values():
        assert all(sorted(order) == all_heads(make_attention_model()) for order in several)


def test_random_orders_are_keyed_by_the_seed() -> None:
    one = made()["random"]
    assert len({tuple(order) for order in one}) == 5
    assert one == made()["random"]
    assert one != made(seed=1)["random"]
    assert made(n_random=2)["random"] == one[:2]


@pytest.mark.parametrize(
    ("values", "share"),
    [
        ([0.9, 0.9, 0.89, 0.5, 0.1], 2 / 4),  # 0.89 has lost 0.01 exactly
        ([0.9, 0.889, 0.5, 0.4, 0.1], 0),
        ([0.9, 0.8, 0.895, 0.5, 0.1], 0),  # what the next head brings back does not count
        ([0.9, 0.9, 0.8, 0.9, 0.9], 1 / 4),
        ([0.2, 0.3, 0.4, 0.4, 0.2], 1),
    ],
)
def test_what_can_go(values: list[float], share: float) -> None:
    assert prunable_share(values) == pytest.approx(share)


def test_the_area_under_a_curve() -> None:
    assert area_under_curve([0.8, 0.8, 0.8]) == pytest.approx(0.8)
    assert area_under_curve([1.0, 0.5, 0.0]) == pytest.approx(0.5)
    assert area_under_curve([1.0, 1.0, 0.0]) == pytest.approx((1 + 0.5) / 2)


def test_a_curve_takes_away_one_head_after_the_other() -> None:
    net = make_attention_model()
    chosen, judged = split_even_odd(
        make_induction_task(n_eval=200).evaluation(), torch.device("cpu")
    )
    means, measure = mean_outputs(net, chosen), make_copy_accuracy(judged)
    found = pruning_curve(net, measure, means, LEAST_FIRST)
    assert len(found) == 9
    for n, value in enumerate(found):
        with ablate_heads(net, LEAST_FIRST[:n], means):
            assert value == measure(net)
    assert found[0] == measure(net)
    assert len(set(found)) > 2


def test_rows_of_the_table_are_means_over_orders() -> None:
    rows = mean_curve_rows(
        {"taylor": [[1.0, 0.5, 0.0]], "random": [[1.0, 0.2, 0.0], [1.0, 0.4, 0.2]]}
    )
    assert [(row["order"], row["removed"]) for row in rows] == [
        (name, removed) for name in ("taylor", "random") for removed in (0, 0.5, 1)
    ]
    assert [row["accuracy"] for row in rows[3:]] == pytest.approx([1.0, 0.3, 0.1])


@pytest.mark.parametrize("values", [[math.nan, 0.5, 0.1], [0.5, math.nan, 0.5], [math.nan] * 3])
def test_what_has_no_accuracy_has_no_share(values: list[float]) -> None:
    assert math.isnan(prunable_share(values))
