"""Names on axes are complete, distinct, and drawn with any characters."""

import logging
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from runner.figures import canvas
from runner.figures.data import Records
from runner.figures.draw import draw_all
from runner.figures.kinds import read_figure
from runner.figures.texts import MAX_TEXT_WIDTH, distinct_texts, drawable_text, text_width
from tests.support.drawing import draw_figure

TEMPLATE = "moe/selection/layer{layer}/{folder}/expert{expert}"
BOX = "\N{WHITE SQUARE}"
ODD = [
    "한국어",
    "조선말",
    "emoji \N{TEST TUBE}",
    "a\u2028b",
    "bad\udc8fname",
    "tab\tbell\x07",
    "\u202emirrored",
    "日本語の文書",
    "x$_y$",
    "plain",
]


def records(folders: list[str], *, layers: int = 2, arms: int = 2) -> Records:
    draw = np.random.default_rng(0)
    rows = [
        (f"arm{arm}", seed, TEMPLATE.format(layer=layer, folder=folder, expert=expert), p, "1")
        for arm in range(arms)
        for seed in range(2)
        for layer in range(layers)
        for folder in folders
        for expert, p in enumerate(draw.dirichlet(np.ones(8)))
    ]
    results = pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])
    history = pd.DataFrame(columns=["arm", "seed", "step", "metric", "value"])
    return Records(results, history, [f"arm{arm}" for arm in range(arms)])


def heatmap(folders: list[str], *, along: str = "y") -> Figure:
    axes = {"x": "expert", "y": "folder"} if along == "y" else {"x": "folder", "y": "expert"}
    return draw_figure(
        records(folders), kind="heatmap", metric=TEMPLATE, panel=["arm", "layer"], **axes
    )


def named_axis(figure: Figure, along: str) -> Any:
    """Return the axis with names of the lowest panel at the left; only it shows both axes."""
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    at_left = [axes for axes in panels if axes.get_position().x0 == panels[0].get_position().x0]
    return at_left[-1].yaxis if along == "y" else at_left[-1].xaxis


def labels(figure: Figure, along: str) -> list[str]:
    axis = named_axis(figure, along)
    return [label.get_text() for label in axis.get_ticklabels()]


def boxes_apart(figure: Figure, along: str) -> bool:
    FigureCanvasAgg(figure).draw()
    axis = named_axis(figure, along)
    boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
    ends = sorted((b.y0, b.y1) if along == "y" else (b.x0, b.x1) for b in boxes)
    return all(lower[1] <= upper[0] + 1 for lower, upper in pairwise(ends))


@pytest.mark.some(1)
@pytest.mark.parametrize("along", ["x", "y"])
@pytest.mark.parametrize("n", [10, 40])
def test_up_to_forty_names_are_all_there(n: int, along: str) -> None:
    folders = [f"notes of {chr(97 + i % 26)}{i} and others" for i in range(n)]
    figure = heatmap(folders, along=along)
    assert labels(figure, along) == folders
    assert boxes_apart(figure, along)


@pytest.mark.parametrize("along", ["x", "y"])
def test_no_name_of_many_is_left_out(along: str) -> None:
    folders = [f"folder {i} of many" for i in range(83)]
    figure = heatmap(folders, along=along)
    axis = named_axis(figure, along)
    texts = labels(figure, along)
    assert texts == folders
    assert [folders[int(at)] for at in axis.get_ticklocs()] == texts
    assert boxes_apart(figure, along)


def test_numbers_are_thinned_as_ever() -> None:
    rows = records(["a"], layers=30)
    figure = draw_figure(
        rows, kind="heatmap", metric=TEMPLATE, x="expert", y="layer", panel=["arm", "folder"]
    )
    texts = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert texts == [str(i) for i in range(0, 30, 4)]


def test_a_column_of_names_without_texts_keeps_them_in_a_matrix() -> None:
    words = [f"word{i}" for i in range(40)]
    rows = [("a", 0, p, q, k, 0.5) for p in range(4) for q in words for k in words[:12]]
    table = pd.DataFrame(rows, columns=["arm", "seed", "p", "q", "k", "w"])
    empty = pd.DataFrame(columns=["arm", "seed", "metric", "value", "unit"])
    figure = draw_figure(
        Records(empty, empty.assign(step=0), ["a"], {"t": table}),
        kind="matrix", table="t", metric="w", x="k", y="q", panel=["p"],
    )  # fmt: skip
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == words
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == words[:12]


def test_every_arm_of_many_has_its_name_below_its_points() -> None:
    arms = [f"an arm with a long name {i}" for i in range(45)]
    rows = [(arm, seed, "m", 1.0 + seed, "1") for arm in arms for seed in range(2)]
    results = pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])
    history = pd.DataFrame(columns=["arm", "seed", "step", "metric", "value"])
    figure = draw_figure(Records(results, history, arms), kind="points", metric="m")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == arms


@pytest.mark.slow
def test_odd_names_are_drawn_everywhere_without_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    figure = heatmap(ODD)
    assert labels(figure, "y") == [
        f"{BOX * 3} (1)",
        f"{BOX * 3} (2)",
        f"emoji {BOX}",
        "a\\u2028b",
        "bad\\udc8fname",
        "tab\\tbell\\x07",
        "\\u202emirrored",
        "日本語の文書",
        "x$_y$",
        "plain",
    ]
    rows = [
        (arm, seed, metric, 1.0 + seed, "1")
        for arm in ODD
        for seed in range(2)
        for metric in ("m", "n", "z/0", "z/1")
    ]
    results = pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])
    history = results.assign(step=0)
    texts = {"title": "한국어", "x_label": "가", "y_label": "나\u2028", "caption": "다"}
    reference = {"reference": 1.5, "reference_label": "라"}
    colours = {"colour_label": "마"}
    specs = {
        "points": {"kind": "points", "metric": "m", **texts, **reference},
        "bars": {"kind": "bars", "metric": "z/{l}", "x": "l", "panel": ["arm"], **texts},
        "curve": {"kind": "curve", "metric": "m", **texts, **reference},
        "lines": {"kind": "lines", "metric": "z/{l}", "x": "l", **texts},
        "scatter": {"kind": "scatter", "metric": "m", "x": "n", **texts},
        "cells": {"kind": "heatmap", "metric": "z/{l}", "x": "l", "y": "arm", **texts, **colours},
    }
    with caplog.at_level(logging.WARNING):
        pictures, _, warnings = draw_all(
            {name: read_figure(name, keys) for name, keys in specs.items()},
            Records(results, history, ODD),
        )
    assert set(pictures) == set(specs)
    assert not warnings
    assert not caplog.records


def test_different_names_stay_different() -> None:
    with canvas.style():
        long = [f"{'a' * 60}{tail}" for tail in ("x", "y")] + [
            f"{'b' * 30}{i}{'c' * 30}" for i in "12"
        ]
        short = distinct_texts([*long, *ODD, "plain", "한국어"])
        assert len(set(short)) == len({*long, *ODD})
        assert short[-2:] == ["plain", short[4]]
        assert all(text_width(text) <= 2 * MAX_TEXT_WIDTH + 4 for text in short)
        assert distinct_texts(["a" * 100]) == ["a" * 14 + "…" + "a" * 13]
        assert distinct_texts(["■" * 20 + "\N{TEST TUBE}", "■" * 20 + "\N{DNA DOUBLE HELIX}"]) == [
            "■" * 20 + BOX + " (1)",
            "■" * 20 + BOX + " (2)",
        ]
        assert drawable_text("a\nb\u00a0c") == "a\\nb c"
