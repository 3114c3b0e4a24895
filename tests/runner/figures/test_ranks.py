"""Parts without a shared identity are ranked within each seed, so that a collapse is seen."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from runner.figures.data import Records
from runner.figures.ranks import rank_by_last_value, rank_text, rank_values
from runner.metric_names import Metric
from tests.support.drawing import draw_figure, draw_sheet

HISTORY = pd.DataFrame(columns=["arm", "seed", "step", "metric", "value"])
COLLAPSED = {"a": [0.25, 0.25, 0.25, 0.25], "b": [0.7, 0.1, 0.1, 0.1]}


def make_records(n_seeds: int = 4) -> Records:
    """Return loads of four experts; in arm b another expert is the busiest under each seed."""
    rows = [
        (arm, seed, f"moe/load/expert{(expert + seed) % 4}", load, "1")
        for arm, loads in COLLAPSED.items()
        for seed in range(n_seeds)
        for expert, load in enumerate(loads)
    ]
    results = pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])
    return Records(results, HISTORY, list(COLLAPSED))


def notes(figure: Figure) -> str:
    return " ".join(artist.get_text() for artist in figure.artists)  # type: ignore[attr-defined]


def test_means_of_experts_hide_a_collapse_and_ranks_show_it() -> None:
    options = {"kind": "bars", "metric": "moe/load/expert{expert}", "x": "expert"}
    heights = [bar.get_height() for bar in draw_figure(make_records(), **options).axes[0].patches]
    np.testing.assert_allclose(heights, 0.25)
    figure = draw_figure(make_records(), **options, rank=True)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    np.testing.assert_allclose(heights, [*COLLAPSED["a"], *COLLAPSED["b"]])
    names = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert names == ["highest", "2nd", "3rd", "lowest"]


def test_means_of_experts_have_a_note_unless_they_are_ranked() -> None:
    declared = {f"moe/load/expert{i}": Metric(exchangeable="expert") for i in range(4)}
    options = {"kind": "bars", "metric": "moe/load/expert{expert}", "x": "expert"}
    note = "experts of different seeds do not correspond"
    several = replace(make_records(), declared=declared)
    assert note in notes(draw_figure(several, **options))
    assert note not in notes(draw_figure(several, **options, rank=True))
    assert note not in notes(draw_figure(several, **options, seeds="first"))
    assert note not in notes(draw_figure(make_records(), **options))
    one = replace(make_records(n_seeds=1), declared=declared)
    assert note not in notes(draw_figure(one, **options))


def test_the_sentence_of_ranked_bars_names_the_highest() -> None:
    sheet = draw_sheet(
        make_records(), kind="bars", metric="moe/load/expert{expert}", x="expert", rank=True
    )
    assert "a 0.25" in sheet.alt
    assert "b 0.7" in sheet.alt
    assert "0.1" not in sheet.alt


def test_ranks_are_within_each_seed_and_panel() -> None:
    rows = pd.DataFrame(
        {
            "arm": "a",
            "seed": [0] * 4 + [1] * 4,
            "layer": [0, 0, 1, 1] * 2,
            "expert": [0, 1] * 4,
            "value": [1.0, 2.0, 4.0, 3.0, 6.0, 5.0, 7.0, 8.0],
        }
    )
    ranked = rank_values(rows, "expert", ["layer", "expert", "arm"])
    highest = ranked[ranked["expert"] == "highest"].sort_values(["seed", "layer"])
    assert list(highest["value"]) == [2.0, 4.0, 6.0, 8.0]


def test_a_seed_with_a_missing_value_has_no_ranks() -> None:
    rows = pd.DataFrame(
        {"arm": "a", "seed": [0, 0, 1, 1], "expert": [0, 1] * 2, "value": [1.0, np.nan, 3.0, 4.0]}
    )
    ranked = rank_values(rows, "expert", ["expert", "arm"])
    assert ranked[ranked["seed"] == 0]["value"].isna().all()
    assert list(ranked[ranked["seed"] == 1]["value"]) == [4.0, 3.0]


def test_rows_over_time_are_sorted_by_their_last_value() -> None:
    rows = pd.DataFrame(
        {
            "arm": "a",
            "seed": 0,
            "step": [0, 0, 9, 9],
            "expert": [0, 1, 0, 1],
            "value": [0.9, 0.1, 0.2, 0.8],
        }
    )
    ranked = rank_by_last_value(rows, "expert", "step", ["step", "expert"])
    first = ranked[ranked["expert"] == "highest"].sort_values("step")
    assert list(first["value"]) == [0.1, 0.8]
    assert list(dict.fromkeys(ranked["expert"])) == ["highest", "lowest"]


@pytest.mark.parametrize(
    ("rank", "n", "text"),
    [(1, 8, "highest"), (2, 8, "2nd"), (3, 8, "3rd"), (8, 8, "lowest"), (11, 64, "11th")],
)
def test_a_rank_has_a_text(rank: int, n: int, text: str) -> None:
    assert rank_text(rank, n) == text
