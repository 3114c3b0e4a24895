"""Claims on a difference of two differences: numbers by hand, gates, and the settings of pairs."""

import itertools

import numpy as np
import pytest

from runner.claims.fairness import Fairness
from runner.claims.finding import Verdict
from runner.claims.preconditions import Preconditions
from runner.claims.verdicts import judge
from tests.support.claim_tables import (
    interaction,
    judge_values,
    results_table,
    trials_table,
    values_with_sd,
)

BASE = np.array([3.0, 5, 4, 6, 2, 7])
OTHER = np.array([1.0, 2, 0, 3, 5, 4])
FIRST = np.array([0.5, -1, 2, 0, 1, 3])


def two_pairs(second_differences, metric="val/loss"):
    """Return four arms whose differences of differences are these."""
    n = len(second_differences)
    return {
        ("base", metric): BASE[:n],
        ("arm", metric): BASE[:n] + FIRST[:n] + second_differences,
        ("base2", metric): 10 + OTHER[:n],
        ("arm2", metric): 10 + OTHER[:n] + FIRST[:n],
    }


def test_the_mean_interval_and_exact_p_value_by_hand():
    (finding,) = judge_values(two_pairs(np.arange(1.0, 7)), interaction(n=6))
    assert finding.interval.mean == pytest.approx(3.5)
    # Half-width of 1..6: 2.571 * 1.8708 / sqrt(6) = 1.963
    assert finding.interval.low == pytest.approx(3.5 - 1.963, abs=1e-3)
    assert finding.p == 2 / 2**6
    assert finding.verdict is Verdict.reproduced
    assert finding.claim.estimate_label == "(arm minus base) minus (arm2 minus base2)"
    (finding,) = judge_values(two_pairs(np.arange(1.0, 7)), interaction(n=6, direction="less"))
    assert finding.verdict is Verdict.contradicted
    (finding,) = judge_values(two_pairs(np.arange(1.0, 7)), interaction(n=6, margin=1.8))
    assert finding.verdict is Verdict.inconclusive


def test_the_p_value_is_the_share_of_sign_patterns_of_the_second_differences():
    seconds = np.array([1.0, 2, -0.5, 4, 3, -1])
    (finding,) = judge_values(two_pairs(seconds), interaction(n=6))
    sums = [abs(np.dot(signs, seconds)) for signs in itertools.product((1, -1), repeat=6)]
    assert finding.p == np.mean([total >= abs(seconds.sum()) - 1e-12 for total in sums])
    assert finding.verdict is Verdict.inconclusive


def test_ratios_are_compared_by_their_logarithms():
    columns = {arm: np.exp(values) for arm, values in two_pairs(np.arange(1.0, 7)).items()}
    (finding,) = judge_values(columns, interaction(n=6, compare="ratios"))
    assert finding.interval.mean == pytest.approx(3.5)
    assert finding.claim.estimate_label == "log(arm / base) minus log(arm2 / base2)"
    assert finding.unit == ""
    columns["base2", "val/loss"] = columns["base2", "val/loss"] - 1e9
    (finding,) = judge_values(columns, interaction(n=6, compare="ratios"))
    assert finding.reason.startswith("ratios of val/loss need values above 0, got -")


def test_a_diverged_trial_counts_with_its_clipped_value_and_a_lost_one_is_not_replaced():
    columns = two_pairs(np.arange(1.0, 7))
    columns["arm2", "val/loss"] = columns["arm2", "val/loss"].copy()
    columns["arm2", "val/loss"][2] = np.nan
    (finding,) = judge_values(columns, interaction(n=6), arm2=[(2, "diverged")])
    assert finding.reason == "trials without a finite val/loss: arm2 seed 2 (diverged)"


def test_each_pair_must_cost_the_same_and_the_pairs_may_not():
    costs = {"base": 100.0, "arm": 100.0, "base2": 300.0, "arm2": 300.0}
    asked = interaction(n=6, equal_cost="params")
    columns = two_pairs(np.arange(1.0, 7))
    known = Preconditions({arm: {"params": cost} for arm, cost in costs.items()})
    assert judge_values(columns, asked, preconditions=known)[0].verdict is Verdict.reproduced
    known = Preconditions({arm: {"params": c} for arm, c in (costs | {"arm2": 330.0}).items()})
    (finding,) = judge_values(columns, asked, preconditions=known)
    assert finding.reason == "unmatched: arm2 has 10 % more parameters than base2 (tolerance 1 %)"


def conditions(**bytes_by_arm):
    return {arm: {"task.train_bytes": n, "training.steps": 100} for arm, n in bytes_by_arm.items()}


def test_the_pairs_may_differ_in_their_settings_and_the_verdict_says_in_which():
    known = conditions(base=30_000, arm=30_000, base2=1_000_000, arm2=1_000_000)
    columns = two_pairs(np.arange(1.0, 7))
    (finding,) = judge_values(
        columns, interaction(n=6), preconditions=Preconditions(fairness=Fairness(known))
    )
    assert finding.verdict is Verdict.reproduced
    assert "arm2 differs from arm in task.train_bytes (1000000 against 30000)" in finding.reason
    assert not finding.unequal
    known = conditions(base=30_000, arm=40_000, base2=1_000_000, arm2=1_000_000)
    (finding,) = judge_values(
        columns, interaction(n=6), preconditions=Preconditions(fairness=Fairness(known))
    )
    assert finding.unequal == {"task.train_bytes": ("40000", "30000")}


def test_arms_of_different_pairs_are_paired_by_seed_too():
    shifted = Preconditions(
        fairness=Fairness(conditions(base=1, arm=1, base2=1, arm2=1)),
        seed_offsets={"arm2": 1000, "base2": 1000},
    )
    (finding,) = judge_values(two_pairs(np.arange(1.0, 7)), interaction(n=6), preconditions=shifted)
    assert "seed_offset" in finding.unequal


def test_the_noise_of_two_pairs_is_twice_that_of_one():
    columns = {arm: values / 10 for arm, values in two_pairs(np.arange(1.0, 7), "time").items()}
    columns["copy", "time"] = columns["base", "time"] + values_with_sd(6, 0.01)
    asked = interaction(n=6, metric="time", aa={"arm": "copy", "control": "base"})

    results = results_table(columns).assign(unit="s")
    (finding,) = judge([asked], results, scale="quick", trials=trials_table(results))
    # t(5) * 0.01 / sqrt(6) = 0.010494, twice
    assert finding.noise_floor == pytest.approx(2 * 0.010494, abs=1e-5)
    (finding,) = judge(
        [interaction(n=6, metric="time")], results, scale="quick", trials=trials_table(results)
    )
    assert finding.reason.startswith("a claim about time or memory needs an A/A pair")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"other_arm": "arm"}, "'arm' cannot be compared with itself"),
        ({"other_control": None}, "missing key other_control"),
        ({"compare": "ratio"}, "compare='ratio' is unknown; did you mean ratios"),
        ({"direction": "up"}, "direction='up' is unknown"),
        ({"times": 2}, "there is no key 'times'"),
    ],
)
def test_an_interaction_that_is_written_wrongly_says_what_and_how(changes, message):
    with pytest.raises(ValueError, match=message):
        interaction(**changes)
