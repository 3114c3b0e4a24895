"""The final value of a diverged trial is drawn differently from a measured one."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from runner.figures.data import Records
from runner.figures.notes import HOLLOW_NOTE
from tests.support.drawing import draw_figure

LOST = (2, 3, 4)


@pytest.fixture
def records() -> Records:
    """Return records in which three of five seeds of `hot` diverged: their loss is the first, 5."""
    rows, history = [], []
    for arm in ("base", "hot"):
        for seed in range(5):
            lost = arm == "hot" and seed in LOST
            rows.append((arm, seed, "val/loss", 5.0 if lost else 1 + 0.1 * seed, "nats"))
            rows.append((arm, seed, "cost", 2.0 + (arm == "hot"), "1"))
            value = 0.5 if lost else 0.1 * seed
            rows += [(arm, seed, f"z/{layer}", value, "1") for layer in range(3)]
            history += [
                (arm, seed, step, "val/loss", 5 - 0.04 * step + 0.01 * seed)
                for step in range(0, 101, 20)
            ]
    seeds = [(arm, seed) for arm in ("base", "hot") for seed in range(5)]
    metrics = ["val/loss", *(f"z/{layer}" for layer in range(3))]
    return Records(
        pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"]),
        pd.DataFrame(history, columns=["arm", "seed", "step", "metric", "value"]),
        ["base", "hot"],
        trials=pd.DataFrame(
            [(a, s, "diverged" if a == "hot" and s in LOST else "done") for a, s in seeds],
            columns=["arm", "seed", "status"],
        ),
        clipped=pd.DataFrame(
            [("hot", seed, metric) for seed in LOST for metric in metrics],
            columns=["arm", "seed", "metric"],
        ),
    )


def drawn_text(figure: Figure) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())


def hollow(figure: Figure) -> list[float]:
    """Return the y of all hollow dots."""
    return [
        float(y)
        for dots in figure.axes[0].collections
        if isinstance(dots, PathCollection) and not len(dots.get_facecolor())
        for y in np.asarray(dots.get_offsets())[:, 1]
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "points"},
        {"kind": "bars"},
        {"kind": "scatter", "x": "cost"},
        {"kind": "lines", "metric": "z/{layer}", "x": "layer"},
    ],
)
def test_clipped_values_are_hollow_and_the_figure_says_so(
    records: Records, options: dict[str, Any]
) -> None:
    figure = draw_figure(records, **({"metric": "val/loss"} | options))
    assert hollow(figure) == ([0.5] * 9 if options["kind"] == "lines" else [5.0] * 3)
    assert HOLLOW_NOTE in drawn_text(figure)
    assert "hot: mean over 5 seeds, 3 of them clipped" in drawn_text(figure)
    assert "base:" not in drawn_text(figure)


def test_a_metric_that_needs_no_clipping_is_drawn_as_ever(records: Records) -> None:
    figure = draw_figure(records, kind="points", metric="cost")
    assert not hollow(figure)
    assert "hollow" not in drawn_text(figure)
    assert "diverged" not in drawn_text(figure)


def test_a_clipped_x_makes_a_dot_hollow_too(records: Records) -> None:
    figure = draw_figure(records, kind="scatter", metric="cost", x="val/loss")
    assert hollow(figure) == [3.0] * 3


def test_a_curve_shows_what_was_measured_and_says_what_tables_count(records: Records) -> None:
    figure = draw_figure(records, kind="curve", metric="val/loss")
    for sentence in ("hot: 3 of 5 seeds diverged", "a cross marks", "tables use"):
        assert sentence in drawn_text(figure)
    (crosses,) = (c for c in figure.axes[0].collections if isinstance(c, PathCollection))
    assert {float(x) for x in np.asarray(crosses.get_offsets())[:, 0]} == {100.0}
    means = [line for line in figure.axes[0].get_lines() if line.get_linewidth() == 2]
    assert all(np.isfinite(np.asarray(line.get_ydata(), float)).all() for line in means)


def test_a_profile_and_a_heat_map_say_so(records: Records) -> None:
    axes = {f"axis {layer}": f"z/{layer}" for layer in range(3)}
    lost = records.results.query("arm == 'hot' and seed in @LOST")
    figure = draw_figure(
        Records(lost, records.history, ["hot"], clipped=records.clipped), kind="profile", axes=axes
    )
    assert HOLLOW_NOTE in drawn_text(figure)
    figure = draw_figure(records, kind="heatmap", metric="z/{layer}", x="layer", y="arm")
    assert "hot: mean over 5 seeds, 3 of them clipped" in drawn_text(figure)
    assert "clipped: a diverged trial" in drawn_text(figure)
