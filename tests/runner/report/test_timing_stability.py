"""Samples are judged by the thresholds of torch and pyperf; equal arms show the noise."""

import numpy as np
import pandas as pd
import pytest

from runner.report import tables
from runner.report.aa_differences import aa_differences
from runner.report.answer import sentences
from runner.report.difference_figure import difference_figure
from runner.report.headlines import compare_headlines
from runner.report.timing_stability import (
    aa_difference_lines,
    measure_sample_sets,
    noise_floor_lines,
    stability_notes,
)
from runner.stats.comparison import summarise_arms
from runner.stats.intervals import mean_interval
from runner.wording import quantity
from tests.support.sample_study import make_results, make_study

COPIES = {"moe_top2_copy": "moe_top2"}
SETS = {
    # quartiles of five numbers are the second and the fourth
    "steady": [10.0, 10.0, 10.0, 10.0, 10.1],
    "some": [8.0, 9.2, 10.0, 10.8, 12.0],  # IQR 0.16 of the median, deviation 15 %
    "gross": [5.0, 8.0, 10.0, 12.0, 15.0],  # 0.40
    "short": [0.5, 0.5, 0.5, 0.5, 0.5],
}


def times(**sets):
    rows = [
        {"arm": "tiled", "seed": 0, "length": 64, "pass": name, "round": i, "ms": ms}
        for name, samples in sets.items()
        for i, ms in enumerate(samples)
    ]
    return {"times": pd.DataFrame(rows)}


def test_every_set_is_measured_and_named():
    found = {one.name.split()[-1]: one for one in measure_sample_sets(times(**SETS))}
    assert set(found) == set(SETS)
    assert found["gross"].name == "tiled seed 0 length 64 gross"
    assert found["some"].iqr == pytest.approx(0.16)
    assert found["gross"].spread == pytest.approx(np.std(SETS["gross"], ddof=1) / 10)


def test_one_line_counts_what_torch_and_pyperf_warn_of():
    (line,) = stability_notes(times(**SETS))
    start = (
        "timing stability of 4 sample sets: IQR above 0.10 of the median in 2, above 0.25 in 1 ("
    )
    assert line.startswith(start)
    assert "deviation of 10% of the mean or more in 2, a sample under 1 ms in 1 (" in line
    assert "tiled seed 0 length 64 gross, with an IQR of 0.40" in line
    for nothing in ({}, times(once=[1.0]), {"times": pd.DataFrame({"arm": ["a"], "MiB": [1]})}):
        assert stability_notes(nothing) == []


def test_the_noise_floor_stands_beside_what_a_clock_says_and_nothing_else():
    results = make_results()
    wide = results[results.metric == "time/step"].pivot(index="seed", columns="arm", values="value")
    same = mean_interval(wide["moe_top2_copy"] - wide["moe_top2"])
    floor = quantity.format_quantity(max(abs(same.low), abs(same.high)), "ms")
    line = f"noise floor (A/A pair moe_top2_copy minus moe_top2): ±{floor}"
    assert noise_floor_lines(results, COPIES, "time/step") == [line]
    assert noise_floor_lines(results, COPIES, "val/loss") == []
    (unknown,) = noise_floor_lines(results, {}, "time/step")
    assert "unknown" in unknown
    study = make_study()
    shown = tables.cost_table(study, summarise_arms(results))
    assert shown["noise"] == [f"{study.label('time/step')}: {line}"]
    assert tables.cost_table(make_study(scale="smoke"), summarise_arms(results))["noise"] == []


def test_one_difference_under_both_seeds_is_no_evidence_of_a_difference():
    rows = [("a", 0, 1.0), ("a", 1, 2.0), ("a_copy", 0, 1.1), ("a_copy", 1, 2.1)]
    results = pd.DataFrame(rows, columns=["arm", "seed", "value"]).assign(metric="m", unit="nats")
    assert aa_difference_lines(results, {"a_copy": "a"}, "m") == [
        "Two copies of a differ by 0.100 nats."
    ]


def test_an_infinite_value_of_a_copy_does_not_lose_the_report():
    results = make_results()
    is_one = (results.arm == "moe_top2") & (results.seed == 3) & (results.metric == "val/loss")
    assert is_one.sum() == 1
    infinite = results.assign(value=results.value.mask(is_one, np.inf))
    study = make_study(results=infinite, figures={})
    (pair,) = aa_differences(study.results, COPIES, "val/loss")
    assert (pair.interval.n, pair.n_seeds) == (7, 8)
    compared = compare_headlines(study, study.results)
    (sentence,) = sentences(study, compared)
    assert "Two copies of moe_top2 differ by" in sentence
    assert "(7 of 8 seeds)" in sentence
    summary = summarise_arms(study.results)
    (figure,) = difference_figure(study, compared, study.results, summary).values()
    (row,) = figure.blocks[0].aa_rows
    assert row.mean == pair.interval.mean
