"""The page of a sweep: its answer, tables, figures and links."""

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PathCollection, PolyCollection

from runner.figures.draw import draw_all
from runner.figures.kinds.bars import Bars
from runner.figures.kinds.lines import Lines
from runner.figures.kinds.points import Points
from runner.figures.rows import select_rows
from runner.sweeps.figures import are_powers, choose_axes, draw_sweep_figures, make_figure
from runner.sweeps.figures import value_table as values_of
from runner.sweeps.outcomes import NO_LOG
from runner.sweeps.page import render_sweep
from runner.sweeps.record import SweepRecord
from runner.sweeps.tables import headline_table
from runner.sweeps.wording import SMOKE, answer_paragraphs, certainty_lines
from tests.support.sample_sweep import LOSS, comparison_row, make_points, make_sweep

EXPERTS = [{"ffn.n_experts": n} for n in (4, 8, 16)]


def experts(*standings: str, **fields: object) -> SweepRecord:
    rows = [comparison_row(i, standing) for i, standing in enumerate(standings, 1)]
    return make_sweep(make_points(EXPERTS[: len(standings)]), rows, **fields)


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]*>", " ", html).split())


def test_the_answer_says_which_arm_is_better_at_which_points():
    sweep = experts("better", "no significant difference", "better")
    ((first, second),) = answer_paragraphs(sweep)
    assert first == (
        "In held-out loss, moe_top2 is better than dense at ffn.n_experts=4 and 16; it does not "
        "differ significantly at ffn.n_experts=8."
    )
    assert second == (
        "The mean difference, moe_top2 minus dense, lies between -0.0200 and -0.0200 nats/byte."
    )


def test_the_answer_names_all_points_at_once():
    ((first, *_),) = answer_paragraphs(experts("worse", "worse", "worse"))
    assert first == "In held-out loss, moe_top2 is worse than dense at all 3 points."


def test_a_smoke_sweep_answers_nothing():
    sweep = experts("better", "better", scale="smoke")
    assert answer_paragraphs(sweep) == []
    assert certainty_lines(sweep) == [SMOKE]


def test_failed_points_are_counted_and_listed_with_message_and_log():
    points = make_points(EXPERTS)
    lost = {"state": "failed", "exit_code": 1, "run": "", "message": "1 of 4 trials <failed>"}
    points[1] = replace(points[1], **lost, log="moe/trials/dense/seed-0/log.txt")
    points[2] = replace(points[2], state="not run", run="", message="not run, because ...")
    sweep = make_sweep(points, [comparison_row(1)])
    assert certainty_lines(sweep)[-1] == "1 failed and 1 not run, of 3 points."
    html = render_sweep(sweep, {}, {})
    assert "1 of 4 trials &lt;failed&gt;" in html
    assert 'href="../../moe/trials/dense/seed-0/log.txt"' in html
    assert "Points that are not done" in text_of(html)
    assert NO_LOG not in html
    points[1] = replace(points[1], log="")  # the point that did not run has no log either
    assert render_sweep(make_sweep(points, [comparison_row(1)]), {}, {}).count(NO_LOG) == 1


def test_the_page_is_self_contained_and_links_each_report():
    sweep = experts("better", "worse", "undecided")
    figures, records, notes = draw_sweep_figures(sweep)
    pictures, _, failures = draw_all(figures, records)
    assert (notes, failures, list(pictures)) == ([], [], ["val_loss"])
    html = render_sweep(sweep, figures, pictures)
    for point in sweep.points:
        assert f'href="../../{point.run}/report.html"' in html
    assert not re.search(r'(?:src|href)="(?:https?:)?//', html)
    assert "Content-Security-Policy" in html
    told = text_of(html)
    assert "better at equal active parameters" in told
    assert "python -m runner experiment=moe ffn.n_experts=16" in told
    assert html.count('<span class="tag worse">') == 1


def test_a_result_that_the_correction_changes_says_what_it_was():
    row = comparison_row(1, "better", sweep_standing="no significant difference", p_sweep=0.2)
    html = render_sweep(make_sweep(make_points(EXPERTS[:1]), [row]), {}, {})
    assert "better before this correction" in html
    assert "0.200" in html


def test_each_claim_has_its_verdict_at_every_point():
    verdicts = tuple(
        {
            "point": i,
            "id": "M1",
            "verdict": verdict,
            "line": f"{verdict}: difference +0.1",
            "claim": {"statement": "Mixtures are better."},
        }
        for i, verdict in enumerate(("reproduced", "inconclusive"), 1)
    )
    html = render_sweep(experts("better", "better", verdicts=verdicts), {}, {})
    assert '<span class="tag reproduced">' in html
    assert '<span class="tag inconclusive">' in html
    assert "It is not corrected for the number of points." in html


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4, 8, 16], True),
        ([1e-3, 3e-3, 1e-2], True),
        ([1, 2, 3], False),
        ([0, 1, 10], False),
        ([2, 4], False),
        ([100, 200, 300, 400], False),
    ],
)
def test_values_nearer_to_powers_get_a_logarithmic_axis(values: list[float], expected: bool):
    assert are_powers(values) is expected


@pytest.mark.parametrize(
    ("settings", "x", "panels", "together"),
    [
        (EXPERTS, "ffn.n_experts", (), ()),
        ([{"task": name} for name in ("waves", "domains")], "task", (), ()),
        (
            [{"task": t, "ffn.n_experts": n} for t in "ab" for n in (4, 8, 16)],
            "ffn.n_experts",
            ("task",),
            (),
        ),
        (
            [{"ffn.n_experts": n, "ffn.top_k": k} for n, k in ((4, 1), (8, 2), (16, 4))],
            "ffn.n_experts",
            (),
            ("ffn.top_k",),
        ),
        ([{"ffn.n_experts": 4}, {"ffn.top_k": 1}], "point", (), ()),
    ],
)
def test_each_swept_key_has_its_place(settings, x: str, panels: tuple, together: tuple):
    keys = tuple(dict.fromkeys(key for one in settings for key in one))
    axes = choose_axes(keys, make_points(settings))
    assert (axes.x, axes.panels, axes.together) == (x, panels, together)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [(EXPERTS, Lines), ([{"task": name} for name in ("waves", "domains")], Points)],
)
def test_numbers_have_lines_and_names_have_bars(settings, kind: type):
    points = make_points(settings)
    sweep = make_sweep(points, [comparison_row(1)])
    axes = choose_axes(sweep.keys, points)
    table = values_of(sweep, LOSS, points, axes)
    figure = make_figure("val_loss", LOSS, axes, table, points)
    assert type(figure) is kind
    wide = table.assign(value=table.index + 1.0)
    expected = Lines if kind is Lines else Bars
    assert type(make_figure("val_loss", LOSS, axes, wide, points)) is expected


def test_a_swept_number_has_a_band_for_each_arm_and_dots_of_seeds():
    figures, records, _ = draw_sweep_figures(experts("better", "worse", "better"))
    figure = figures["val_loss"]
    assert "95 % bands" in figure.caption
    axes = figure.draw(records).panels[0].axes
    bands = [one for one in axes.collections if isinstance(one, PolyCollection)]
    dots = [one for one in axes.collections if isinstance(one, PathCollection)]
    assert len(bands) == 2
    assert not axes.containers  # no whiskers
    assert sum(len(one.get_offsets()) for one in dots) == 2 * 3 * 3
    # The band at the first point is the t-interval of its seeds.
    values = records.tables["val_loss"].query("arm == 'dense' and `ffn.n_experts` == 4")["value"]
    half = 4.302652729911275 * values.std() / 3**0.5  # the t-quantile of 2 degrees of freedom
    vertices = bands[0].get_paths()[0].vertices
    first = vertices[np.isclose(vertices[:, 0], 4), 1]
    assert first.min() == pytest.approx(values.mean() - half)
    assert first.max() == pytest.approx(values.mean() + half)


def test_a_swept_seed_has_a_mean_at_every_point():
    sweep = make_sweep(make_points([{"seed": n} for n in (0, 5, 20)]), [comparison_row(1)])
    values = sweep.values.assign(seed=sweep.values["seed"] + 5 * sweep.values["point"])
    figures, records, _ = draw_sweep_figures(replace(sweep, values=values))
    pictures, _, failures = draw_all(figures, records)
    assert failures == []
    assert figures["val_loss"].x_label == "seed"
    last = values.query("point == 3 and arm == 'dense'")["value"].mean()
    assert f"at seed 20: dense {last:.3g}" in pictures["val_loss"].alt
    lines = figures["val_loss"].draw(records).panels[0].axes.lines
    means = [line.get_ydata() for line in lines if len(line.get_xdata()) == 3]
    assert len(means) == 2
    assert np.isfinite(means).all()


def test_a_point_with_fewer_seeds_has_no_mean_and_the_caption_says_so():
    sweep = experts("better", "worse", "better")
    values = sweep.values
    fewer = values[(values["point"] != 2) | (values["seed"] < 2)]
    sentence = "Where an arm has fewer seeds than elsewhere, only dots are drawn."
    for table, is_said in ((values, False), (fewer, True)):
        figures, _, _ = draw_sweep_figures(replace(sweep, values=table))
        assert figures["val_loss"].caption.endswith(sentence) == is_said


def test_a_zipped_sweep_says_which_keys_change_together():
    settings = [{"ffn.n_experts": n, "ffn.top_k": k} for n, k in ((4, 1), (8, 2), (16, 4))]
    sweep = make_sweep(make_points(settings), [comparison_row(1)])
    figures, _, _ = draw_sweep_figures(sweep)
    assert "ffn.top_k changes with ffn.n_experts: ffn.n_experts=4 ffn.top_k=1;" in (
        figures["val_loss"].caption
    )


def test_many_keys_leave_the_figure_out_with_a_note():
    settings = [{"x": x, "y": f"name{y}"} for x in range(2) for y in range(13)]
    sweep = make_sweep(make_points(settings), [])
    figures, _, notes = draw_sweep_figures(sweep)
    assert figures == {}
    assert notes == ["held-out loss has no figure: it would need over 12 panels."]


def test_intervals_end_at_the_possible_values_of_a_metric_in_table_and_figure():
    sweep = experts("better", "better", "better")
    rows = sweep.results.assign(low=-0.5)
    limited = replace(sweep, results=rows, headlines=(replace(LOSS, lowest=0.0),))
    over_names = tuple(make_points([{"norm": name} for name in ("pre", "post", "none")]))
    table = headline_table(limited, limited.headlines[0])
    assert all("[0.0" in row["value"] for row in table["rows"])
    for sweep in (limited, replace(limited, keys=("norm",), points=over_names)):
        figures, records, _ = draw_sweep_figures(sweep)
        rows = select_rows(figures["val_loss"], records)
        assert records.limits(rows) == (0.0, float("inf"))
