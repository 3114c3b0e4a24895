"""Lines, matrices and profiles show tables and final values, and name omitted ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from runner.figures.data import Records
from runner.figures.draw import draw_all
from runner.figures.kinds import read_figure
from runner.wording import quantity
from tests.support.drawing import draw_all_figures, draw_figure
from tests.support.sample_tables import ARMS, FIGURES, HEADS, LENGTHS, SEEDS, make_records


@pytest.fixture(scope="module")
def records() -> Records:
    return make_records()


def skipped(records: Records, **options: Any) -> str:
    """Return the warning line of a figure that cannot be drawn."""
    pictures, _, warnings = draw_all({"x": read_figure("x", options)}, records)
    assert not pictures
    assert len(warnings) == 1
    assert "\n" not in warnings[0]
    return warnings[0]


def note(figure: Figure) -> str:
    return " ".join(artist.get_text() for artist in figure.artists)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_every_kind_draws_without_a_warning(
    records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    assert set(draw_all_figures(FIGURES, records, caplog)) == set(FIGURES) - {"sentences"}


def test_lines_are_means_over_a_placeholder(records: Records) -> None:
    figure = draw_figure(records, **FIGURES["time"])
    means = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == len(LENGTHS)]
    rows = records.results.query("arm == 'naive'")
    expected = [
        rows[rows["metric"] == f"flash/time/length{length}"]["value"].mean() for length in LENGTHS
    ]
    assert any(np.allclose(line.get_ydata(), expected) for line in means)
    dots = [c.get_offsets() for c in figure.axes[0].collections if len(c.get_offsets()) > 1]
    assert [len(d) for d in dots] == [SEEDS * len(LENGTHS)] * len(ARMS)
    assert note(figure) == ""


def test_one_seed_and_values_below_zero_on_a_log_axis_are_drawn(records: Records) -> None:
    results = records.results[records.results["seed"] == 0].copy()
    results.loc[results.index[0], "value"] = -1.0
    draw_figure(replace(records, results=results), **FIGURES["time"])


def test_a_function_that_is_the_same_at_every_seed_is_drawn_once(records: Records) -> None:
    figure = draw_figure(records, **FIGURES["functions"])
    for axes in figure.axes:
        assert len(axes.get_lines()) == 2  # relu of two arms once, leaky
        assert not axes.collections  # no band
    values = figure.axes[0].get_lines()[0].get_ydata()
    np.testing.assert_allclose(np.asarray(values), np.maximum(np.linspace(-3, 3, 121), 0))


def test_arms_that_differ_are_never_averaged(records: Records) -> None:
    tables = {"functions": records.tables["functions"].replace({"name": {"leaky": "relu"}})}
    line = skipped(replace(records, tables=tables), **FIGURES["functions"])
    assert "3 arms have different values" in line


def test_rows_that_nothing_tells_apart_are_never_averaged(records: Records) -> None:
    line = skipped(records, **{**FIGURES["attention"], "panel": ["layer"], "panel_metrics": {}})
    assert "several rows of one trial with the same ['layer', 'key', 'query']" in line


@pytest.mark.parametrize("key", ["functions", "attention"])
def test_what_is_missing_in_a_table_is_one_line(records: Records, key: str) -> None:
    spec = FIGURES[key]
    assert "no trial has recorded a table" in skipped(replace(records, tables={}), **spec)
    assert "has no column ['z']" in skipped(records, **{**spec, "x": "z"})
    assert "no row in arms" in skipped(records, **{**spec, "arms": ["absent"]})
    blank = records.tables[key].assign(**{spec["metric"]: ""})
    assert "no finite value" in skipped(replace(records, tables={key: blank}), **spec)


def test_a_matrix_is_that_of_the_first_arm_and_seed(records: Records) -> None:
    figure = draw_figure(records, **FIGURES["attention"])
    images = [image for axes in figure.axes for image in axes.get_images()]
    assert len(images) == len(HEADS)
    assert len({image.get_clim() for image in images}) == 1
    assert note(figure) == "first seed of naive"
    rows = records.tables["attention"].query(
        "arm == 'naive' and seed == 0 and layer == 1 and head == 2"
    )
    cells = images[HEADS.index((1, 2))].get_array()
    assert cells is not None
    for row in rows.itertuples():
        assert cells[row.query, row.key] == pytest.approx(row.weight)
    assert np.ma.getmaskarray(np.ma.masked_invalid(cells))[0, 1]  # the future has no cell
    low, high = figure.axes[0].get_ylim()
    assert low > high  # the first query is at the top


def test_the_metrics_of_a_panel_are_of_the_trial_that_it_shows(records: Records) -> None:
    figure = draw_figure(records, **{**FIGURES["attention"], "arms": ["fused"]})
    rows = records.results.query("arm == 'fused' and seed == 0").set_index("metric")["value"]
    title = figure.axes[HEADS.index((1, 3))].get_title(loc="left")
    assert title.startswith("layer 1 · head 3\nH ")
    assert quantity.format_number(rows["heads/entropy/layer1/head3"], 3) in title
    assert f"diag {rows['heads/diagonal/layer1/head3']:.3f}" in title


def test_a_panel_per_arm_shows_the_first_seed_of_each(records: Records) -> None:
    tables = {"alignment": records.tables["alignment"].query("sentence == 0")}
    spec = {**FIGURES["alignment"], "panel": ["arm"], "title": "t"}
    figure = draw_figure(replace(records, tables=tables), **spec)
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == ARMS
    assert note(figure) == "first seed of each arm"


def test_ticks_have_their_texts(records: Records) -> None:
    figure = draw_figure(records, **FIGURES["alignment"])
    texts = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert texts == ["二", "万", "五", "千", "終わり"]
    assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == texts[3:]


def test_a_text_that_no_font_has_is_a_box_and_no_warning(records: Records) -> None:
    texts = {"twenty": "\N{TEST TUBE}", "five": "a\nb", "thousand": "a$_b$"}
    tables = {"alignment": records.tables["alignment"].replace({"source_text": texts})}
    figure = draw_figure(replace(records, tables=tables), **FIGURES["alignment"])
    tick_texts = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert tick_texts == ["\N{WHITE SQUARE}", "a\\nb", "a$_b$", "<end>"]


def test_a_tick_with_two_texts_is_refused(records: Records) -> None:
    alignment = records.tables["alignment"].copy()
    alignment.loc[0, "source_text"] = "other"
    line = skipped(replace(records, tables={"alignment": alignment}), **FIGURES["alignment"])
    assert "several texts" in line


def bar_widths(figure: Figure, panel: int) -> list[float]:
    return [bar.get_width() for bar in figure.axes[panel].patches]


def test_a_profile_shows_scores_as_they_are(records: Records) -> None:
    figure = draw_figure(records, **FIGURES["scores"])
    assert len(figure.axes) == 2
    rows = records.results.query("arm == 'naive' and seed == 0").set_index("metric")["value"]
    scores = [rows[t.format(layer=1, head=3)] for t in FIGURES["scores"]["axes"].values()]
    np.testing.assert_allclose(bar_widths(figure, 1)[-len(scores) :], scores)
    assert {axes.get_xlim() for axes in figure.axes} == {(0.0, 1.0)}
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        *FIGURES["scores"]["axes"]
    ]
    assert note(figure) == "first seed of naive"


def test_a_profile_shows_the_first_seed_of_each_arm_where_arms_have_colours(
    records: Records,
) -> None:
    figure = draw_figure(
        records, **{**FIGURES["scores"], "panel": ["layer", "head"], "hue": "arm", "arms": ARMS[:2]}
    )
    n_scores = len(FIGURES["scores"]["axes"])
    assert [len(bar_widths(figure, i)) for i in range(len(HEADS))] == [2 * n_scores] * len(HEADS)
    assert note(figure) == "first seed of each arm"


@pytest.mark.parametrize(("value", "message"), [(1.2, "1.2 of naive is outside"), (-0.1, "-0.1")])
def test_a_profile_never_scales(records: Records, value: float, message: str) -> None:
    line = skipped(replace(records, results=_planted(records, value)), **FIGURES["scores"])
    assert "heads/induction/layer0/head0" in line
    assert message in line


def test_a_profile_allows_the_rounding_of_float32(records: Records) -> None:
    draw_figure(replace(records, results=_planted(records, 1 + 1e-7)), **FIGURES["scores"])


def test_a_profile_without_a_score_is_not_drawn(records: Records) -> None:
    line = skipped(replace(records, results=_planted(records, np.nan)), **FIGURES["scores"])
    assert "has no value for one of the axes" in line
    remaining = records.results[~records.results["metric"].str.startswith("heads/induction")]
    assert "heads/induction" in skipped(replace(records, results=remaining), **FIGURES["scores"])


def _planted(records: Records, value: float) -> pd.DataFrame:
    results = records.results.copy()
    at = (results["metric"] == "heads/induction/layer0/head0") & (results["seed"] == 0)
    results.loc[at, "value"] = value
    return results
