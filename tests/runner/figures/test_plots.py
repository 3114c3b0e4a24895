"""Figures show the records, legibly."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from runner.figures.data import Records
from runner.figures.draw import draw_all
from runner.figures.kinds import read_figure
from runner.figures.kinds.curve import Curve
from runner.figures.labels import separate_labels
from runner.figures.tick_numbers import short_number
from runner.stats.bands import mean_bands
from runner.stats.intervals import mean_interval
from tests.support.drawing import draw_all_figures, draw_figure
from tests.support.sample_figures import FIGURES
from tests.support.sample_study import ARMS, make_history, make_results


@pytest.fixture(scope="module")
def records() -> Records:
    return Records(make_results(), make_history(), list(ARMS))


def test_bands_are_t_intervals(records: Records) -> None:
    rows = records.results[records.results["metric"] == "val/loss"]
    for row in mean_bands(rows, ["arm"]).itertuples():
        expected = mean_interval(rows[rows["arm"] == row.arm]["value"])
        assert (row.mean, row.low, row.high, row.n) == pytest.approx(tuple(expected))


def test_every_kind_draws_without_a_warning(
    records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    for picture in draw_all_figures(FIGURES, records, caplog).values():
        assert picture.png.startswith(b"\x89PNG")
        assert picture.svg.startswith(b"<?xml")


def test_the_same_records_give_the_same_file(records: Records) -> None:
    loss = {"loss": read_figure("loss", FIGURES["loss"])}
    (first, *_), (second, *_) = draw_all(loss, records), draw_all(loss, records)
    assert first["loss"] == second["loss"]


def test_a_figure_with_nothing_to_show_is_one_warning(records: Records) -> None:
    pictures, _, warnings = draw_all({"none": Curve(metric="no/such", title="t")}, records)
    assert not pictures
    assert len(warnings) == 1
    assert "no/such" in warnings[0]


def test_curves_show_the_mean_and_every_seed(records: Records) -> None:
    lines = (
        draw_figure(records, kind="curve", metric="val/loss", arms=["dense"]).axes[0].get_lines()
    )
    # The seeds are one line with gaps; the mean is the last line.
    seeds, mean = lines
    values = np.asarray(seeds.get_ydata(), float)
    rows = records.history.query("arm == 'dense' and metric == 'val/loss'")
    expected = rows.groupby("step")["value"].mean().to_numpy()
    np.testing.assert_allclose(np.asarray(mean.get_ydata()), expected)
    by_seed = rows.sort_values(["seed", "step"])["value"].to_numpy()
    np.testing.assert_allclose(values[np.isfinite(values)], by_seed)
    assert np.isnan(values).sum() == 8 - 1


def test_an_arm_keeps_its_colour(records: Records) -> None:
    def colour(arms: list[str]) -> str:
        figure = draw_figure(records, kind="curve", metric="val/loss", arms=arms)
        return str(figure.axes[0].get_lines()[-1].get_color())

    assert colour(["moe_no_balance"]) == colour(["dense", "moe_no_balance"])


def test_heat_maps_share_one_scale(records: Records) -> None:
    figure = draw_figure(
        records, **{k: v for k, v in FIGURES["usage_over_time"].items() if k != "title"}
    )
    images = [image for axes in figure.axes for image in axes.get_images()]
    assert len(images) == 3 * 2
    assert len({image.get_clim() for image in images}) == 1


def test_a_heat_map_never_averages_arms(records: Records) -> None:
    figure = read_figure("x", {**FIGURES["selection"], "panel": ["layer"]})
    assert "needs panel: [arm]" in draw_all({"x": figure}, records)[-1][0]


@pytest.mark.parametrize("kind", ["heatmap", "bars"])
def test_seeds_without_a_shared_identity_show_the_first(records: Records, kind: str) -> None:
    options = {"x": "expert", "panel": ["layer"], "arms": ["moe_top2"], "seeds": "first"}
    if kind == "heatmap":
        options |= {"y": "layer", "panel": ["arm"]}
    figure = draw_figure(
        records, kind=kind, metric="moe/load/layer{layer}/expert{expert}", **options
    )
    rows = records.results.query("arm == 'moe_top2' and seed == 0")
    first = rows[rows["metric"].str.startswith("moe/load/layer0/")]["value"]
    axes = figure.axes[0]
    drawn = (
        axes.get_images()[0].get_array()[0]
        if kind == "heatmap"
        else [bar.get_height() for bar in axes.patches]
    )
    np.testing.assert_allclose(drawn, first)
    assert any(artist.get_text() == "first seed of moe_top2" for artist in figure.artists)


def test_the_labels_of_a_heat_map_go_where_they_say(records: Records) -> None:
    figure = draw_figure(
        records,
        **{**FIGURES["selection"], "arms": ["moe_top2"], "panel": ["layer"], "y_label": "w"},
    )
    assert figure.get_supylabel() == "w"
    assert figure.axes[-1].get_ylabel() == "share of tokens"


@pytest.mark.slow
def test_one_seed_and_one_point_are_drawn(records: Records) -> None:
    one = Records(
        records.results[records.results["seed"] == 0],
        records.history[(records.history["seed"] == 0) & (records.history["step"] == 30)],
        records.arms,
    )
    for options in FIGURES.values():
        draw_figure(one, **options)


def test_large_numbers_are_written_short(records: Records) -> None:
    large = Records(records.results.assign(value=1.3e8), records.history, records.arms)
    figure = draw_figure(large, kind="bars", metric="val/loss", x="arm")
    texts = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "120 M" in texts
    assert figure.axes[0].yaxis.get_offset_text().get_text() == ""
    assert [short_number(value) for value in (2e9, 134e6, 20000, 0.05, 0)] == [
        *("2 G", "134 M", "20,000", "0.05", "0"),
    ]


@pytest.mark.parametrize("kind", ["bars", "points", "curve"])
def test_a_figure_of_zeros_is_left_out_with_the_reason(records: Records, kind: str) -> None:
    nothing = Records(
        records.results.assign(value=0.0), records.history.assign(value=0.0), records.arms
    )
    figure = read_figure("x", {"kind": kind, "metric": "val/loss", "title": "Loss", "y_label": "l"})
    pictures, _, (line,) = draw_all({"x": figure}, nothing)
    assert not pictures
    assert line == "figure x is left out: in 'Loss', the l is 0 in every trial"


def test_names_that_look_like_mathematics_stay_text(records: Records) -> None:
    results = records.results.replace({"arm": {"dense": "a$_b$ 五"}})
    draw_figure(
        Records(results, records.history, ["a$_b$ 五", *records.arms[1:]]),
        kind="points",
        metric="val/loss",
    )


def test_no_two_labels_of_a_curve_overlap(records: Records) -> None:
    figure = draw_figure(records, kind="curve", metric="val/loss")
    renderer = FigureCanvasAgg(figure).get_renderer()
    for text in figure.axes[0].texts:
        text.update_positions(renderer)
    # The box of the text only: the box of an annotation includes its line.
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    boxes.sort(key=lambda box: box.y0)
    assert len(boxes) == len(ARMS)
    for lower, upper in pairwise(boxes):
        assert lower.y1 <= upper.y0 + 1


@pytest.mark.parametrize("positions", [[0.5, 0.5, 0.5], [0.1, 0.9], [0.3, 0.31, 0.9, 0.0], []])
def test_spread_keeps_the_order_and_the_gap(positions: list[float]) -> None:
    moved = separate_labels(positions, 0.1)
    in_order = [moved[i] for i in np.argsort(positions, kind="stable")]
    assert all(b - a >= 0.1 - 1e-12 for a, b in pairwise(in_order))
    assert np.mean(moved or [0]) == pytest.approx(np.mean(positions or [0]))
