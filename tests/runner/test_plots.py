"""Figures show what the records say, legibly."""

import logging
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from sample_study import ARMS, FIGURES, make_history, make_results

from runner import canvas
from runner.bands import mean_bands
from runner.figures import FigureSpec, figure_spec, select
from runner.plot_data import Records
from runner.plot_labels import spread
from runner.plots import draw, draw_all
from runner.stats import mean_interval


@pytest.fixture(scope="module")
def records() -> Records:
    return Records(make_results(), make_history(), list(ARMS))


def figure(records: Records, **options: Any) -> Figure:
    with canvas.style():
        made = draw(figure_spec({"title": "t", **options}), records)
        made.canvas.draw()  # warnings are errors: a missing glyph would show here
    return made


def test_templates_become_columns() -> None:
    metrics = [f"a/layer{i}/{kind}/expert{j}" for i in (0, 10, 9) for kind in "xy" for j in (2, 1)]
    rows = pd.DataFrame({"arm": "m", "seed": 0, "metric": [*metrics, "a/layer1"], "value": 1.0})
    found = select(rows, "a/layer{layer}/{kind}/expert{expert}", ["m"])
    assert len(found) == 12
    assert set(found["layer"]) == {0, 9, 10}
    assert set(found["kind"]) == {"x", "y"}


def test_a_template_takes_no_regular_expressions() -> None:
    rows = pd.DataFrame({"arm": "m", "seed": 0, "metric": ["a.b", "axb"], "value": 1.0})
    assert list(select(rows, "a.b", ["m"])["metric"]) == ["a.b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "curve", "metric": "a/{b}"}, "averaged away"),
        ({"kind": "curve", "metric": "a", "hue": "b"}, "not placeholders"),
        ({"kind": "curve", "metric": "a", "log": "z"}, "must be one of"),
        ({"kind": "heatmap", "metric": "a/{b}", "x": "b"}, "needs the key y"),
        ({"kind": "scatter", "metric": "a"}, "needs the key x"),
        ({"kind": "curve", "metric": "a", "colour": "red"}, "unknown figure keys"),
        ({"kind": "curve", "metric": "a/{b}/{c}/{d}", "panel": ["b", "c", "d"]}, "more than two"),
    ],
)
def test_a_wrong_spec_says_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figure_spec({"title": "t", **options})


def test_bands_are_t_intervals(records: Records) -> None:
    rows = records.results[records.results["metric"] == "val/loss"]
    for row in mean_bands(rows, ["arm"]).itertuples():
        expected = mean_interval(rows[rows["arm"] == row.arm]["value"])
        assert (row.mean, row.low, row.high, row.n) == pytest.approx(tuple(expected))


def test_every_kind_draws_without_a_warning(
    records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    specs = {key: figure_spec(options) for key, options in FIGURES.items()}
    with caplog.at_level(logging.WARNING):
        pictures, warnings = draw_all(specs, records)
    assert not caplog.records, caplog.text
    assert not warnings
    for picture in pictures.values():
        assert picture.png.startswith(b"\x89PNG")
        assert picture.svg.startswith(b"<?xml")


def test_the_same_records_give_the_same_file(records: Records) -> None:
    spec = {"loss": figure_spec(FIGURES["loss"])}
    (first, _), (second, _) = draw_all(spec, records), draw_all(spec, records)
    assert first["loss"] == second["loss"]


def test_a_figure_with_nothing_to_show_is_one_warning(records: Records) -> None:
    specs = {"none": FigureSpec(kind="curve", metric="no/such", title="t")}
    pictures, warnings = draw_all(specs, records)
    assert not pictures
    assert len(warnings) == 1
    assert "no/such" in warnings[0]


def test_an_unknown_kind_is_an_error(records: Records) -> None:
    with pytest.raises(ValueError, match="none of"):
        figure(records, kind="pie", metric="val/loss")


def test_curves_show_the_mean_and_every_seed(records: Records) -> None:
    lines = figure(records, kind="curve", metric="val/loss", arms=["dense"]).axes[0].get_lines()
    assert len(lines) == 8 + 1
    rows = records.history.query("arm == 'dense' and metric == 'val/loss'")
    expected = rows.groupby("step")["value"].mean().to_numpy()
    np.testing.assert_allclose(np.asarray(lines[-1].get_ydata()), expected)


def test_an_arm_keeps_its_colour(records: Records) -> None:
    def colour(arms: list[str]) -> str:
        made = figure(records, kind="curve", metric="val/loss", arms=arms)
        return str(made.axes[0].get_lines()[-1].get_color())

    assert colour(["moe_no_balance"]) == colour(["dense", "moe_no_balance"])


def test_heat_maps_share_one_scale(records: Records) -> None:
    made = figure(records, **{k: v for k, v in FIGURES["usage_over_time"].items() if k != "title"})
    images = [image for axes in made.axes for image in axes.get_images()]
    assert len(images) == 3 * 2
    assert len({image.get_clim() for image in images}) == 1


def test_a_heat_map_never_averages_arms(records: Records) -> None:
    spec = figure_spec({**FIGURES["selection"], "panel": ["layer"]})
    assert "needs panel: [arm]" in draw_all({"x": spec}, records)[1][0]


def test_one_seed_and_one_point_are_drawn(records: Records) -> None:
    one = Records(
        records.results[records.results["seed"] == 0],
        records.history[(records.history["seed"] == 0) & (records.history["step"] == 30)],
        records.arms,
    )
    specs = {key: figure_spec(options) for key, options in FIGURES.items()}
    assert draw_all(specs, one)[1] == []


def test_a_curve_over_a_placeholder_takes_final_results(records: Records) -> None:
    made = figure(
        records,
        kind="curve",
        metric="moe/load/layer{layer}/expert{expert}",
        x="expert",
        panel="layer",
    )
    assert list(made.axes[0].get_lines()[-1].get_xdata()) == list(range(8))


def test_names_that_look_like_mathematics_stay_text(records: Records) -> None:
    results = records.results.replace({"arm": {"dense": "a$_b$ 五"}})
    figure(
        Records(results, records.history, ["a$_b$ 五", *records.arms[1:]]),
        kind="points",
        metric="val/loss",
    )


def test_no_two_labels_of_a_curve_overlap(records: Records) -> None:
    made = figure(records, kind="curve", metric="val/loss")
    renderer = FigureCanvasAgg(made).get_renderer()
    for text in made.axes[0].texts:
        text.update_positions(renderer)
    # Of the text alone: the box of an annotation includes its line.
    boxes = [Text.get_window_extent(text) for text in made.axes[0].texts]
    boxes.sort(key=lambda box: box.y0)
    assert len(boxes) == len(ARMS)
    for lower, upper in pairwise(boxes):
        assert lower.y1 <= upper.y0 + 1


@pytest.mark.parametrize("positions", [[0.5, 0.5, 0.5], [0.1, 0.9], [0.3, 0.31, 0.9, 0.0], []])
def test_spread_keeps_the_order_and_the_gap(positions: list[float]) -> None:
    moved = spread(positions, 0.1)
    in_order = [moved[i] for i in np.argsort(positions, kind="stable")]
    assert all(b - a >= 0.1 - 1e-12 for a, b in pairwise(in_order))
    assert np.mean(moved or [0]) == pytest.approx(np.mean(positions or [0]))
