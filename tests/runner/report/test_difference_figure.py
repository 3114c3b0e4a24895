"""The first figure shows the differences of the answer, with their noise, and nothing else."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from runner.claims.headline import Headline
from runner.figures import canvas
from runner.figures.draw import draw_all
from runner.figures.figure import DIFFERENCES
from runner.figures.layout import arrange
from runner.figures.sheet import Sheet
from runner.metric_names import Metric
from runner.report.difference_figure import difference_figure
from runner.report.headlines import compare_headlines
from runner.report.report_files import figure_records, write_report
from runner.report.study_record import StudyRecord
from runner.stats.comparison import summarise_arms
from runner.stats.intervals import mean_interval
from tests.support.sample_study import make_study


def draw_differences(study: StudyRecord) -> Sheet:
    results = study.results
    figures = difference_figure(
        study, compare_headlines(study, results), results, summarise_arms(results)
    )
    with canvas.style():
        sheet = figures[DIFFERENCES].draw(figure_records(study, results))
        assert isinstance(sheet, Sheet)
        arrange(sheet)
    return sheet


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def names(sheet: Sheet, block: int = 0) -> list[str]:
    return [text.get_text() for text in sheet.panels[block].axes.get_yticklabels()]


def study_of(values: dict[str, list[float]], **changes: Any) -> StudyRecord:
    """Return a study of one headline, with the values of each arm's seeds."""
    rows = [
        (arm, seed, "m", value, "nats")
        for arm, numbers in values.items()
        for seed, value in enumerate(numbers)
    ]
    arms = {arm: [f"x={i}"] for i, arm in enumerate(values)}
    arms |= {
        arm: [*arms[arm.removesuffix("_copy")], "seed_offset=1000"]
        for arm in values
        if "_copy" in arm
    }
    trials = pd.DataFrame([(a, s, "done") for a, s, *_ in rows], columns=["arm", "seed", "status"])
    study = make_study()
    return replace(
        study,
        **{
            "arms": arms,
            "hparams": {},
            "conditions": {},
            "costs": {},
            "baseline": next(iter(values)),
            "controls": [],
            "headline": [Headline("m", "less", "loss of the model")],
            "claims": [],
            "figures": {},
            "results": pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"]),
            "trials": trials.assign(seconds=1.0, reused=False, folder="", message=""),
            "metric_declarations": {"m": Metric()},
            **changes,
        },
    )


def caption_of(study: StudyRecord) -> str:
    results = study.results
    comparisons = compare_headlines(study, results)
    figures = difference_figure(study, comparisons, results, summarise_arms(results))
    return figures[DIFFERENCES].caption


SPREAD = np.linspace(-0.2, 0.2, 8)


def test_rows_are_the_differences_of_the_answer() -> None:
    study = study_of({"base": list(SPREAD), "x": list(1 + SPREAD[::-1]), "y": list(SPREAD - 1)})
    sheet = draw_differences(study)
    assert names(sheet) == ["x", "y"]
    (block,) = sheet.panels
    compared = {one.arm: one.decision for one in compare_headlines(study, study.results)}
    at = {name: x for name, (_, x, _, _) in zip(names(sheet), sheet.hover, strict=True)}
    for arm, decision in compared.items():
        assert decision.interval is not None
        assert at[arm] == decision.interval.mean
        intervals = [line.get_xdata() for line in block.axes.get_lines()]
        assert [decision.interval.low, decision.interval.high] in [list(x) for x in intervals]
        detectable = decision.minimum_detectable_effect
        assert [-detectable, detectable] in [list(x) for x in intervals]
    assert "← better" in texts(sheet.figure)
    assert "difference from base (nats)" in texts(sheet.figure)
    assert sheet.alt.startswith("Loss of the model, difference from base: x +1")


def test_the_grey_band_is_the_interval_of_the_aa_pair() -> None:
    copy = 0.1 + SPREAD * np.array([1, -1] * 4)
    study = study_of({"base": list(SPREAD), "x": list(1 + SPREAD[::-1]), "base_copy": list(copy)})
    sheet = draw_differences(study)
    assert names(sheet) == ["x", "A/A pair of base"]
    expected = mean_interval(copy - SPREAD)
    (band,) = (p for p in sheet.panels[0].axes.patches if p.get_height() == 1)
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx(
        (expected.low, expected.high)
    )
    assert "interval of the A/A pair" in texts(sheet.figure)


def test_control_arms_and_copies_are_no_rows_of_the_arms_under_study() -> None:
    values = {"base": list(SPREAD), "x": list(1 + SPREAD), "doomed": list(9 + SPREAD)}
    study = study_of(values, controls=["doomed"])
    assert names(draw_differences(study)) == ["x"]
    assert caption_of(study).endswith("doomed is for a positive control only and not compared.")
    values.pop("doomed")
    assert "doomed" not in caption_of(study_of(values, controls=["doomed"]))


def test_the_caption_explains_only_marks_that_are_drawn() -> None:
    assert "Short grey lines" in caption_of(
        study_of({"base": list(SPREAD), "x": list(1 + SPREAD[::-1])})
    )
    assert "grey" not in caption_of(study_of({"base": list(SPREAD), "x": list(SPREAD)}))


def test_one_seed_and_exact_counts_have_a_point_without_an_interval() -> None:
    one = draw_differences(study_of({"base": [1.0], "x": [2.0]}))
    assert "+1 (one seed)" in texts(one.figure)
    exact = study_of(
        {"base": [1.0] * 4, "x": [3.0] * 4}, metric_declarations={"m": Metric(deterministic=True)}
    )
    sheet = draw_differences(exact)
    assert "+2 (exact)" in texts(sheet.figure)
    assert "mean with its 95 % interval" not in texts(sheet.figure)
    assert [x for _, x, _, _ in sheet.hover] == [2.0]


def test_equal_values_under_every_seed_have_no_detectable_difference() -> None:
    sheet = draw_differences(study_of({"base": list(SPREAD), "x": list(SPREAD)}))
    assert "equal under every seed" in texts(sheet.figure)
    assert "detectable" not in texts(sheet.figure)


def test_a_value_that_is_not_finite_is_no_difference() -> None:
    study = study_of({"base": [1.0, 2.0], "x": [2.0, math.inf], "y": [math.inf, math.inf]})
    text = texts(draw_differences(study).figure)
    assert "+1 (one seed)" in text
    assert "no value: undecided" in text
    assert "∞" not in text


def test_an_arm_without_values_is_named_as_undecided() -> None:
    study = study_of({"base": list(SPREAD), "x": list(1 + SPREAD), "y": [math.nan] * 8})
    assert names(draw_differences(study)) == ["x", "y"]
    assert "no value: undecided" in texts(draw_differences(study).figure)


def test_a_headline_that_compares_nothing_shows_its_value_on_the_possible_range() -> None:
    study = study_of(
        {"base": [0.2, 0.9]}, metric_declarations={"m": Metric(lowest=0.0, highest=1.0)}
    )
    sheet = draw_differences(study)
    low, high = sheet.panels[0].axes.get_xlim()
    assert -0.05 < low < 0
    assert 1 < high < 1.05
    assert "0.5500 [0, 1]" in texts(sheet.figure)  # as in the page's table
    drawn = [list(line.get_xdata()) for line in sheet.panels[0].axes.get_lines()]
    assert [0.0, 1.0] in drawn
    assert "better" not in texts(sheet.figure)


def test_twelve_arms_and_three_headlines_have_axes_of_their_own() -> None:
    draw = np.random.default_rng(0)
    arms = [f"arm{i}" for i in range(12)]
    rows = [
        (arm, seed, metric, scale * (i + draw.normal()), "things")
        for i, arm in enumerate(arms)
        for seed in range(8)
        for metric, scale in (("a", 1e-6), ("b", 1.0), ("c", 1e9))
    ]
    results = pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])
    study = replace(
        study_of({arm: [0.0] * 8 for arm in arms}),
        results=results,
        headline=[Headline(metric, "none", metric) for metric in "abc"],
        metric_declarations={metric: Metric() for metric in "abc"},
    )
    sheet = draw_differences(study)
    assert [len(names(sheet, i)) for i in range(3)] == [11] * 3
    widths = [np.ptp(panel.axes.get_xlim()) for panel in sheet.panels]
    assert widths[0] < 1e-4 < widths[1] < 1e3 < widths[2]
    labels = sheet.panels[0].axes.get_yticklabels()
    boxes = [label.get_window_extent() for label in labels]
    assert all(above.y0 >= below.y1 - 1 for above, below in pairwise(boxes))


def test_a_block_has_a_unit_that_a_person_reads() -> None:
    mib = 2.0**20
    study = study_of({"base": [256 * mib] * 4, "x": [128 * mib] * 4})
    results = study.results.assign(unit="bytes")
    counts = {"m": Metric(deterministic=True)}
    sheet = draw_differences(replace(study, results=results, metric_declarations=counts))
    assert "difference from base (MiB)" in texts(sheet.figure)
    assert "-128 (exact)  better" in texts(sheet.figure)
    assert [x for _, x, _, _ in sheet.hover] == [-128.0]


def test_a_study_without_headline_values_has_no_such_figure() -> None:
    study = study_of({"base": [1.0], "x": [2.0]}, headline=[Headline("other", "less", "other")])
    results = study.results
    assert difference_figure(study, [], results, summarise_arms(results)) == {}


@pytest.mark.slow
def test_it_is_the_first_figure_of_a_report(tmp_path: Path) -> None:
    study = make_study()
    outcome = write_report(tmp_path / "run", study)
    assert (tmp_path / "run" / "figures" / "differences.png").read_bytes().startswith(b"\x89PNG")
    page = outcome.report_path.read_text()
    first = page.index("Differences from the baseline")
    assert all(first < page.index(figure.title) for figure in study.figures.values())


def test_the_sample_study_draws_without_a_warning() -> None:
    study = make_study()
    results = study.results
    figures = difference_figure(
        study, compare_headlines(study, results), results, summarise_arms(results)
    )
    pictures, _, warnings = draw_all(figures, figure_records(study, results))
    assert not warnings
    assert len(pictures[DIFFERENCES].points) >= 3
