"""The tables beside the verdicts: arms against the baseline, and summaries of arms."""

import math

import numpy as np
import pytest
from claim_tables import clear_effect, rng, table

from runner.report.answer import standing
from runner.report.record import Headline
from runner.stats.comparison import compare, summarise
from runner.stats.intervals import Interval, holm, mean_interval
from runner.stats.power import minimum_detectable_effect
from runner.stats.sign_flip import sign_flip_p


def test_compare_agrees_with_single_statistics():
    generator = rng(13)
    columns = {
        (arm, metric): generator.normal(3, 1, 8)
        for arm in ("base", "a", "b", "c")
        for metric in ("val/loss", "moe/x")
    }
    columns["a", "moe/x"][2] = np.nan
    compared = compare(table(columns), "base").set_index(["arm", "metric"])
    assert len(compared) == 6
    for (arm, metric), row in compared.iterrows():
        there = np.isfinite(columns[arm, metric])
        mine, other = columns[arm, metric][there], columns["base", metric][there]
        expected = mean_interval(mine - other)
        assert (row.difference, row.low, row.high, row.n) == pytest.approx(tuple(expected))
        assert (row.arm_mean, row.arm_low, row.arm_high) == pytest.approx(mean_interval(mine)[:3])
        assert (row.baseline_mean, row.baseline_low, row.baseline_high) == pytest.approx(
            mean_interval(other)[:3]
        )
        assert row.p_sign_flip == sign_flip_p(mine - other)
        sd = (mine - other).std(ddof=1)
        assert row.minimum_detectable_effect == pytest.approx(
            minimum_detectable_effect(sd, int(row.n))
        )
        assert row.unit == "nats"
    for _, rows in compared.groupby("metric"):
        assert rows.p_holm.tolist() == holm(rows.p_sign_flip).tolist()


def test_compare_gives_no_interval_where_there_is_none():
    columns = {
        ("base", "cost/parameters"): [100] * 8,
        ("arm", "cost/parameters"): [90] * 8,
        ("base", "once"): [1.0],
        ("arm", "once"): [2.0],
        ("base", "only_base"): [1.0, 2.0],
        ("arm", "only_arm"): [1.0, 2.0],
    }
    compared = compare(table(columns), "base").set_index("metric")
    assert set(compared.index) == {"cost/parameters", "once"}
    intervals = ["arm_low", "baseline_high", "low", "high", "p_sign_flip", "p_holm"]
    assert compared[[*intervals, "minimum_detectable_effect"]].isna().all(axis=None)
    assert compared.difference["cost/parameters"] == -10
    assert math.isnan(compared.difference["once"])
    assert compared.n["once"] == 1


def test_compare_selects_metrics_and_names_near_ones():
    results = table(clear_effect())
    assert compare(results, "base", ["val/loss"]).arm.tolist() == ["arm", "copy", "broken"]
    with pytest.raises(ValueError, match=r"No metric 'val/los' \(near: val/loss\)"):
        compare(results, "base", ["val/los"])
    with pytest.raises(ValueError, match=r"No arm 'bas' \(near: base"):
        compare(results, "bas")
    alone = compare(results[results.arm == "base"], "base")
    assert alone.empty
    assert list(alone.columns) == list(compare(results, "base").columns)


def test_summarise():
    sound = clear_effect()
    sound["one", "val/loss"] = [3.0]
    sound["flat", "val/loss"] = [3.0] * 4
    sound["base", "val/loss"][0] = np.nan
    summary = summarise(table(sound)).set_index("arm")
    assert summary.index.tolist() == ["base", "arm", "copy", "broken", "one", "flat"]
    row = summary.loc["base"]
    expected = mean_interval(sound["base", "val/loss"][1:])
    assert Interval(row["mean"], row.low, row.high, row.n) == pytest.approx(expected)
    assert row.unit == "nats"
    assert summary.loc[["one", "flat"], ["low", "high"]].isna().all(axis=None)
    assert summary["mean"]["one"] == 3


def test_a_constant_difference_of_noisy_arms_is_tested_and_one_of_counts_is_exact():
    base = np.array([2.0, 2.5, 3.0, 3.5, 4.0, 4.5])
    headline = Headline("val/loss", "less", "loss")
    for n, expected in ((2, "not told apart"), (5, "not told apart"), (6, "worse")):
        columns = {("base", "val/loss"): base[:n], ("arm", "val/loss"): base[:n] + 0.5}
        row = compare(table(columns), "base").iloc[0]
        assert (row.difference, row.low, row.high) == (0.5, 0.5, 0.5)
        assert row.p_sign_flip == row.p_holm == 2 / 2**n
        assert standing(row, headline) == expected, n
    counts = {("base", "val/loss"): [3.0] * 2, ("arm", "val/loss"): [2.0] * 2}
    assert standing(compare(table(counts), "base").iloc[0], headline) == "better"
    same = {("base", "val/loss"): base, ("arm", "val/loss"): base}
    row = compare(table(same), "base").iloc[0]
    assert row.p_sign_flip == 1
    assert standing(row, headline) == "not told apart"
