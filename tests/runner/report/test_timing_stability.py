"""Samples are judged by the thresholds of torch and pyperf; equal arms show the noise."""

import numpy as np
import pandas as pd
import pytest

from runner.report import page
from runner.report.timing_stability import measure_sample_sets, noise_floor_lines, stability_notes
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
    shown = page.cost_table(study, summarise_arms(results))
    assert shown["noise"] == [f"{study.label('time/step')}: {line}"]
    assert page.cost_table(make_study(scale="smoke"), summarise_arms(results))["noise"] == []
