"""Bands and axes end at what is possible, and bands do not break logarithmic axes."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.text import Text

from runner.figures.data import Records
from runner.figures.limits import limited_bands
from runner.figures.tick_numbers import LINEAR_NOTE
from runner.metric_names import Metric
from tests.support.drawing import draw_figure

SHARE = Metric(label="share of exact matches", lowest=0.0, highest=1.0)


def make_records(values: dict[int, tuple[float, float]], **declared: Metric) -> Records:
    """Return the history of two seeds: step -> their values."""
    rows = [
        ("a", seed, step, "m", value)
        for step, pair in values.items()
        for seed, value in enumerate(pair)
    ]
    history = pd.DataFrame(rows, columns=["arm", "seed", "step", "metric", "value"])
    results = pd.DataFrame(columns=["arm", "seed", "metric", "value", "unit"])
    return Records(results, history, ["a"], declared=declared)


def test_the_band_of_a_share_stays_within_0_and_1() -> None:
    records = make_records({0: (0.0, 0.1), 1: (0.9, 1.0)}, m=SHARE)
    free = limited_bands(
        make_records({0: (0.0, 0.1), 1: (0.9, 1.0)}), records.history, ["step"], None
    )
    assert free["low"].min() < 0
    assert free["high"].max() > 1
    bands = limited_bands(records, records.history, ["step"], None)
    assert bands["low"].min() == 0
    assert bands["high"].max() == 1
    low, high = draw_figure(records, kind="curve", metric="m").axes[0].get_ylim()
    assert -0.05 < low <= 0
    assert 1 <= high < 1.05


@pytest.mark.parametrize("log", ["y", "both"])
def test_values_below_zero_have_a_linear_axis(log: str) -> None:
    """A logarithmic axis would drop them without a word."""
    records = make_records({1: (5.0, 5.1), 10: (-0.5, -0.4), 100: (-2.0, -2.1)})
    picture = draw_figure(records, kind="curve", metric="m", log=log)
    axes = picture.axes[0]
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] < -2.1
    assert axes.get_xscale() == ("log" if log == "both" else "linear")
    texts = [text.get_text() for text in picture.findobj(Text)]
    assert LINEAR_NOTE in texts
    positive = make_records({1: (5.0, 5.1), 10: (0.5, 0.0)})
    assert draw_figure(positive, kind="curve", metric="m", log=log).axes[0].get_yscale() == "log"


@pytest.mark.parametrize("kind", ["bars", "scatter"])
def test_other_kinds_have_a_linear_axis_too(kind: str) -> None:
    rows = [
        ("a", seed, metric, value, "1")
        for seed, value in enumerate((-1.0, -1.2))
        for metric in ("m", "other")
    ]
    results = pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])
    history = pd.DataFrame(columns=["arm", "seed", "step", "metric", "value"])
    keys = {"x": "other", "log": "both"} if kind == "scatter" else {"log": "y"}
    records = Records(results, history, ["a"])
    axes = draw_figure(records, kind=kind, metric="m", **keys).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")
    assert axes.get_ylim()[0] < -1.2


def test_one_seed_still_has_no_band() -> None:
    records = make_records({0: (0.5, 0.5)}, m=SHARE)
    one = records.history[records.history["seed"] == 0]
    bands = limited_bands(records, one, ["step"], None)
    assert bands[["low", "high"]].isna().all(axis=None)


def test_a_band_below_zero_leaves_no_gap_on_a_log_axis() -> None:
    records = make_records({0: (5.0, 5.1), 10: (0.01, 0.03), 20: (0.02, 0.021)})
    axes = draw_figure(records, kind="curve", metric="m", log="y").axes[0]
    low, high = axes.get_ylim()
    # The limits follow the seeds: a band of two seeds would reach down to any power of ten.
    assert 0.001 < low < 0.01
    assert 5.1 < high < 10
    (band,) = (c for c in axes.collections if isinstance(c, PolyCollection))
    corners = np.concatenate([path.vertices for path in band.get_paths()])
    assert np.isfinite(corners).all()
    assert corners[:, 1].min() > 0
    assert len(band.get_paths()) == 1  # one area without a gap


def test_intervals_of_two_seeds_do_not_flatten_the_lines() -> None:
    records = make_records({step: (1.0 + step, 1.1 + step) for step in range(3)})
    wide = make_records({0: (1.0, 1.1), 1: (1.0, 1.5)})
    low, high = draw_figure(wide, kind="curve", metric="m").axes[0].get_ylim()
    assert high - low < 1.0  # the interval at step 1 is 6.4 long
    low, high = draw_figure(records, kind="curve", metric="m").axes[0].get_ylim()
    assert low < 0.5  # intervals of about the size of the data are inside


@pytest.mark.parametrize("kind", ["bars", "points"])
def test_the_axis_of_a_share_ends_at_1(kind: str) -> None:
    rows = [("a", seed, "m", value, "1") for seed, value in enumerate((0.9, 1.0))]
    results = pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])
    history = pd.DataFrame(columns=["arm", "seed", "step", "metric", "value"])
    records = Records(results, history, ["a"], declared={"m": SHARE})
    axes = draw_figure(records, kind=kind, metric="m").axes[0]
    assert axes.get_ylim()[1] < 1.05
    assert axes.get_ylabel() == "share of exact matches"
