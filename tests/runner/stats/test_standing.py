"""The standing of arms against their baselines, and the reason of an undecided one."""

import math

import numpy as np
import pytest

from runner.stats.intervals import mean_interval
from runner.stats.max_t import max_t_p, standing_detectable_effect
from runner.stats.standing import (
    ALPHA,
    Contrast,
    Standing,
    alpha_at_look,
    decide_standings,
    judge_families,
    least_deciding_seeds,
)


def contrast(difference=0.0, n=8, direction="less", seed=1, **options):
    rng = np.random.default_rng(seed)
    baseline = rng.normal(3, 1, n)
    return Contrast(baseline + difference + rng.normal(0, 0.1, n), baseline, direction, **options)


def exact(arm, baseline, direction="less"):
    return Contrast(np.array(arm, float), np.array(baseline, float), direction, deterministic=True)


@pytest.mark.parametrize(
    ("difference", "direction", "expected"),
    [
        (-1, "less", Standing.better),
        (1, "less", Standing.worse),
        (1, "greater", Standing.better),
        (-1, "greater", Standing.worse),
        (1, "none", Standing.different),
        (-1, "none", Standing.different),
        (0, "less", Standing.not_distinguished),
        (0, "none", Standing.not_distinguished),
    ],
)
def test_the_word_follows_the_direction(difference, direction, expected):
    (decision,) = decide_standings([contrast(difference, direction=direction)])
    assert decision.standing is expected
    assert decision.reason == ""


def test_a_decision_holds_the_numbers_of_the_family():
    contrasts = [contrast(seed=seed) for seed in range(3)]
    decisions = decide_standings(contrasts)
    table = np.stack([c.differences for c in contrasts], axis=1)
    assert [d.p for d in decisions] == max_t_p(table).tolist()
    for decision, differences in zip(decisions, table.T, strict=True):
        assert decision.interval == pytest.approx(mean_interval(differences))
        sd = differences.std(ddof=1)
        assert decision.minimum_detectable_effect == pytest.approx(
            standing_detectable_effect(sd, 8, 3)
        )
    many = judge_families(np.stack([table, -table]))
    assert many.p.tolist() == [max_t_p(table).tolist()] * 2
    assert (
        many.significant.tolist()
        == [[d.standing is not Standing.not_distinguished for d in decisions]] * 2
    )


def test_all_headlines_are_one_family():
    single = contrast(-0.15, seed=4)
    others = [contrast(seed=seed, direction="greater") for seed in range(10, 40)]
    assert decide_standings([single])[0].standing is Standing.better
    crowded = decide_standings([single, *others])[0]
    assert crowded.p > decide_standings([single])[0].p
    assert crowded.standing is Standing.not_distinguished


def test_an_effect_is_seen_in_a_large_family_of_seven_seeds():
    contrasts = [contrast(-1, n=7)] + [contrast(seed=s, n=7) for s in range(1, 30)]
    assert decide_standings(contrasts)[0].standing is Standing.better


def test_missing_values_bar_every_word_and_leave_the_family():
    arm = contrast(-1).arm.copy()
    arm[[1, 3, 5, 7]] = math.nan
    incomplete = Contrast(arm, contrast(-1).baseline, "less")
    decisions = decide_standings([incomplete, contrast(-1, seed=2)])
    assert decisions[0].standing is Standing.undecided
    assert decisions[0].reason == "4 of 8 seeds"
    assert decisions[0].interval.n == 4
    assert math.isnan(decisions[0].p)
    assert decisions[1] == decide_standings([contrast(-1, seed=2)])[0]
    nothing = Contrast(np.full(8, math.nan), contrast().baseline, "less")
    (decisions,) = decide_standings([nothing])
    assert (decisions.standing, decisions.reason, decisions.interval) == (
        Standing.undecided,
        "0 of 8 seeds",
        None,
    )


def test_an_infinite_value_is_a_missing_one():
    arm = contrast(-1).arm.copy()
    arm[0] = math.inf
    (decision,) = decide_standings([Contrast(arm, contrast(-1).baseline, "less")])
    assert decision.reason == "7 of 8 seeds"


def test_too_few_seeds_are_undecided_and_say_how_many_could_tell():
    (decision,) = decide_standings([contrast(-1, n=5)])
    assert decision.standing is Standing.undecided
    assert decision.reason == "5 seeds cannot reach p < 0.05; 6 could"
    assert decision.p == 2 / 2**5
    (decision,) = decide_standings([contrast(-1, n=6)], alpha=0.05 / 3)
    assert decision.reason == "6 seeds cannot reach p < 0.0167; 7 could"
    (decision,) = decide_standings([contrast(-1, n=1)])
    assert (decision.standing, decision.reason) == (Standing.undecided, "only one seed")


def test_a_coarse_metric_without_spread_is_tested_and_a_count_is_exact():
    arm, baseline = np.ones(2), np.zeros(2)
    (decision,) = decide_standings([Contrast(arm, baseline, "greater")])
    assert decision.standing is Standing.undecided
    (decision,) = decide_standings([exact(arm, baseline, "greater")])
    assert (decision.standing, decision.reason, decision.interval.mean) == (
        Standing.better,
        "exact",
        1,
    )


@pytest.mark.parametrize(
    ("arm", "direction", "standing", "reason"),
    [
        ([90, 90], "less", Standing.better, "exact"),
        ([110, 110], "less", Standing.worse, "exact"),
        ([110, 110], "none", Standing.different, "exact"),
        ([100, 100], "less", Standing.not_distinguished, "equal"),
        ([100 + 1e-11, 100], "less", Standing.not_distinguished, "equal"),
        (
            [90, 91],
            "less",
            Standing.undecided,
            "declared to be the same at every seed, but it differs",
        ),
        ([90, math.nan], "less", Standing.undecided, "1 of 2 seeds"),
    ],
)
def test_a_deterministic_metric_needs_no_test(arm, direction, standing, reason):
    (decision,) = decide_standings([exact(arm, [100, 100], direction)])
    assert (decision.standing, decision.reason) == (standing, reason)
    assert math.isnan(decision.p)


def test_deterministic_metrics_do_not_belong_to_the_family():
    bytes_saved = exact([1] * 8, [2] * 8)
    decisions = decide_standings([contrast(-1)])
    assert decide_standings([bytes_saved, contrast(-1), bytes_saved])[1] == decisions[0]
    assert decide_standings([]) == []


def test_a_word_needs_the_interval_too():
    differences = np.array([0.1] * 9 + [30.0])  # all of one sign, and a t of 1
    assert max_t_p(differences[:, None])[0] < ALPHA
    (decision,) = decide_standings([Contrast(differences, np.zeros(10), "less")])
    assert decision.interval.low < 0
    assert decision.standing is Standing.not_distinguished


def test_looking_again_divides_the_level():
    assert [alpha_at_look(looks) for looks in (1, 2, 5)] == [0.05, 0.025, 0.01]
    assert [least_deciding_seeds(looks) for looks in (1, 2, 5)] == [6, 7, 8]
