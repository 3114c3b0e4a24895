"""A picture has a sentence for readers who do not see it, and its values where they are drawn."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from runner.figures.data import Records
from runner.figures.draw import Picture, draw_all
from runner.figures.kinds import read_figure
from runner.figures.sentences import MAX_WORDS, describe, list_values
from runner.figures.sheet import MAX_POINTS
from tests.support import sample_figures, sample_tables
from tests.support.sample_study import ARMS, make_history, make_results


@pytest.fixture(scope="module")
def records() -> Records:
    return Records(make_results(), make_history(), list(ARMS))


def draw(records: Records, **options: Any) -> Picture:
    pictures, _, warnings = draw_all({"x": read_figure("x", {"title": "Loss", **options})}, records)
    assert not warnings
    return pictures["x"]


@pytest.mark.slow
def test_every_kind_has_a_sentence_and_values(records: Records) -> None:
    tables = sample_tables.make_records()
    of_both = ((records, sample_figures.FIGURES), (tables, sample_tables.FIGURES))
    for source, figures in of_both:
        for key, options in figures.items():
            if options["kind"] == "samples":
                continue
            picture = draw(source, **options)
            assert picture.alt.endswith((".", "…")), key
            assert 5 < len(picture.alt.split()) <= MAX_WORDS + 1, key
            assert 0 < len(picture.points) <= MAX_POINTS, key
            assert all(0 <= p.x <= 1 and 0 <= p.y <= 1 for p in picture.points), key


def test_the_sentence_of_a_curve_has_the_last_means(records: Records) -> None:
    alt = draw(records, kind="curve", metric="val/loss").alt
    rows = records.history.query("metric == 'val/loss' and step == 300")
    for arm in ARMS:
        assert f"{arm} {rows[rows['arm'] == arm]['value'].mean():.2f}" in alt
    assert alt.startswith("Loss, val/loss at training step 300: ") or "at training step 300" in alt
    assert alt.endswith("; means of 8 seeds.")


def test_a_value_is_where_its_dot_is_drawn() -> None:
    rows = [("a", 0, 0, "m", 1.0), ("a", 0, 10, "m", 2.0)]
    history = pd.DataFrame(rows, columns=["arm", "seed", "step", "metric", "value"])
    results = pd.DataFrame(columns=["arm", "seed", "metric", "value", "unit"])
    picture = draw(Records(results, history, ["a"]), kind="curve", metric="m")
    pixels = np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB")).astype(int)
    height, width, _ = pixels.shape
    blue = np.array([0x00, 0x72, 0xB2])  # the colour of the first arm
    assert [point.text for point in picture.points] == [
        "a, step 10: 2 (one seed)",
        "a, step 0: 1 (one seed)",
    ]
    for point in picture.points:
        x, y = round(point.x * width), round(point.y * height)
        around = pixels[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3)
        assert np.abs(around - blue).sum(axis=1).min() < 60, point


def test_many_values_are_named_by_their_ends() -> None:
    assert list_values([("a", 1.0), ("b", float("nan")), ("c", 0.5)]) == "a 1, c 0.500"
    many = [(f"x{i}", float(i)) for i in range(30)]
    assert list_values(many) == "30 values from x0 0 to x29 29"
    assert list_values([]) == "no values"


def test_a_label_that_the_title_has_is_not_repeated() -> None:
    sentence = describe(["Held-out loss", "loss"], "at step 3", [("a", 1.5)], "one seed")
    assert sentence == "Held-out loss at step 3: a 1.50; one seed."
    long = describe(["A"], "", [("word " * 30, 1.0), ("word " * 40, 2.0)], "one seed")
    assert len(long.split()) == MAX_WORDS + 1
