"""The tables next to the verdicts: arms against the baseline, and summaries of arms."""

import math

import numpy as np
import pytest

from runner.stats.comparison import compare_with_baseline, summarise_arms
from runner.stats.intervals import Interval, mean_interval
from runner.stats.sign_flip import sign_flip_p
from runner.stats.standing import Contrast, Standing, decide_standings
from tests.support.claim_tables import clear_effect, results_table, rng


def test_compare_agrees_with_single_statistics():
    generator = rng(13)
    columns = {
        (arm, metric): generator.normal(3, 1, 8)
        for arm in ("base", "a", "b", "c")
        for metric in ("val/loss", "moe/x")
    }
    columns["a", "moe/x"][2] = np.nan
    compared = compare_with_baseline(results_table(columns), "base").set_index(["arm", "metric"])
    assert len(compared) == 6
    for (arm, metric), row in compared.iterrows():
        is_finite = np.isfinite(columns[arm, metric])
        mine, other = columns[arm, metric][is_finite], columns["base", metric][is_finite]
        expected = mean_interval(mine - other)
        assert (row.difference, row.low, row.high, row.n) == pytest.approx(tuple(expected))
        assert (row.arm_mean, row.arm_low, row.arm_high) == pytest.approx(mean_interval(mine)[:3])
        assert (row.baseline_mean, row.baseline_low, row.baseline_high) == pytest.approx(
            mean_interval(other)[:3]
        )
        assert row.p_sign_flip == sign_flip_p(mine - other)
        assert row.unit == "nats"
        assert row.n_missing == 8 - row.n == (arm == "a" and metric == "moe/x")


def test_compare_gives_no_interval_where_there_is_none():
    columns = {
        ("base", "cost/parameters"): [100] * 8,
        ("arm", "cost/parameters"): [90] * 8,
        ("base", "once"): [1.0],
        ("arm", "once"): [2.0],
        ("base", "only_base"): [1.0, 2.0],
        ("arm", "only_arm"): [1.0, 2.0],
    }
    compared = compare_with_baseline(results_table(columns), "base").set_index("metric")
    assert set(compared.index) == {"cost/parameters", "once"}
    intervals = ["arm_low", "baseline_high", "low", "high", "p_sign_flip"]
    assert compared[intervals].isna().all(axis=None)
    assert compared.difference["cost/parameters"] == -10
    assert math.isnan(compared.difference["once"])
    assert compared.n["once"] == 1


def test_compare_selects_metrics_and_names_near_ones():
    results = results_table(clear_effect())
    assert compare_with_baseline(results, "base", ["val/loss"]).arm.tolist() == [
        "arm",
        "copy",
        "broken",
    ]
    with pytest.raises(ValueError, match=r"there is no metric 'val/los'; did you mean val/loss\?$"):
        compare_with_baseline(results, "base", ["val/los"])
    with pytest.raises(ValueError, match=r"there is no arm 'bas'; did you mean base\?$"):
        compare_with_baseline(results, "bas")
    of_baseline = compare_with_baseline(results[results.arm == "base"], "base")
    assert of_baseline.empty
    assert list(of_baseline.columns) == list(compare_with_baseline(results, "base").columns)


def test_summarise():
    sound = clear_effect()
    sound["one", "val/loss"] = [3.0]
    sound["flat", "val/loss"] = [3.0] * 4
    sound["base", "val/loss"][0] = np.nan
    summary = summarise_arms(results_table(sound)).set_index("arm")
    assert summary.index.tolist() == ["base", "arm", "copy", "broken", "one", "flat"]
    row = summary.loc["base"]
    expected = mean_interval(sound["base", "val/loss"][1:])
    assert Interval(row["mean"], row.low, row.high, row.n) == pytest.approx(expected)
    assert row.unit == "nats"
    assert summary.loc[["one", "flat"], ["low", "high"]].isna().all(axis=None)
    assert summary["mean"]["one"] == 3


def test_seeds_without_a_pair_are_counted_and_an_arm_without_any_keeps_its_row():
    columns = {
        ("base", "val/loss"): [1.0, 2.0, 3.0],
        ("some", "val/loss"): [np.nan, 2.5, 3.5],
        ("none", "val/loss"): [np.nan] * 3,
    }
    compared = compare_with_baseline(results_table(columns), "base", seeds=range(4)).set_index(
        "arm"
    )
    assert compared.n.to_dict() == {"some": 2, "none": 0}
    assert compared.n_missing.to_dict() == {"some": 2, "none": 4}  # seed 3 has no result at all
    assert compared.loc["none", ["difference", "low", "p_sign_flip"]].isna().all()


def test_a_constant_difference_of_noisy_arms_is_tested_and_one_of_counts_is_exact():
    base = np.array([2.0, 2.5, 3.0, 3.5, 4.0, 4.5])
    for n, expected in ((2, Standing.undecided), (5, Standing.undecided), (6, Standing.worse)):
        columns = {("base", "val/loss"): base[:n], ("arm", "val/loss"): base[:n] + 0.5}
        row = compare_with_baseline(results_table(columns), "base").iloc[0]
        assert (row.difference, row.low, row.high) == (0.5, 0.5, 0.5)
        (decision,) = decide_standings([Contrast(base[:n] + 0.5, base[:n], "less")])
        assert row.p_sign_flip == decision.p == 2 / 2**n
        assert decision.standing is expected, n
    counts = [np.array([2.0, 2.0]), np.array([3.0, 3.0])]
    (decision,) = decide_standings([Contrast(*counts, "less", deterministic=True)])
    assert (decision.standing, decision.reason) == (Standing.better, "exact")
    row = compare_with_baseline(
        results_table({("base", "val/loss"): base, ("arm", "val/loss"): base}), "base"
    ).iloc[0]
    (decision,) = decide_standings([Contrast(base, base, "less")])
    assert row.p_sign_flip == decision.p == 1
    assert decision.standing is Standing.not_distinguished
