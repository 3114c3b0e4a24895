"""Where seeds of an arm are missing nothing has the arm's name: no mean, no band, no point."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runner.figures.data import Records
from runner.figures.draw import draw_all
from runner.figures.kinds import read_figure
from runner.figures.kinds.samples import Samples
from runner.report.dashboard import write_dashboard
from runner.report.timing_stability import noise_floor_lines
from runner.stats.bands import mean_bands
from tests.support.drawing import draw_figure
from tests.support.sample_study import make_study

HISTORY = ["arm", "seed", "step", "metric", "value"]
RESULTS = ["arm", "seed", "metric", "value", "unit"]
HEATMAP = {"kind": "heatmap", "metric": "z/{layer}/{unit}", "x": "unit", "y": "layer"}


def curves(*, ended: float | None = None) -> pd.DataFrame:
    """Two seeds of x rise and end after step 40; with `ended` they hold that value from then on."""
    rows = [
        (arm, seed, step, metric, 5 - 0.04 * step - 0.2 * (arm == "x") + 0.01 * seed)
        for arm in ("base", "x")
        for seed in range(4)
        for metric, every in (("val/loss", 10), ("train/loss", 5))
        for step in range(0, 101, every)
    ]
    table = pd.DataFrame(rows, columns=HISTORY)
    lost = (table["arm"] == "x") & (table["seed"] >= 2)
    table.loc[lost, "value"] = 5 + 0.2 * table["step"]
    late = lost & (table["step"] > 40)
    return table[~late] if ended is None else table.assign(value=table["value"].mask(late, ended))


def results(**values: list[float]) -> pd.DataFrame:
    """Per arm the values of its seeds, for `z/layer0` and, one larger, `z/layer1`."""
    rows = [
        (arm, seed, f"z/layer{layer}", value + layer, "1")
        for arm, numbers in values.items()
        for seed, value in enumerate(numbers)
        for layer in range(2)
    ]
    return pd.DataFrame(rows, columns=RESULTS)


def trials(**statuses: list[str]) -> pd.DataFrame:
    rows = [(arm, seed, s) for arm, states in statuses.items() for seed, s in enumerate(states)]
    return pd.DataFrame(rows, columns=["arm", "seed", "status"])


DIVERGED = trials(base=["done"] * 4, x=["done", "done", "diverged", "diverged"])
NOTHING = pd.DataFrame(columns=RESULTS)


def told(made: Figure) -> str:
    return "\n".join(text.get_text() for text in made.findobj(Text))


def mean_lines(made: Figure) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float))
        for axes in made.axes
        for line in axes.get_lines()
        if line.get_linewidth() == 2
    ]


@pytest.mark.parametrize("ended", [None, np.nan, np.inf])
def test_a_mean_of_survivors_is_no_mean(ended: float | None) -> None:
    rows = curves(ended=ended).query("metric == 'val/loss'")
    bands = mean_bands(rows, ["arm", "step"]).set_index(["arm", "step"])
    assert bands.loc["base"].notna().all(axis=None)
    assert bands.loc["x"].loc[:40].notna().all(axis=None)
    assert bands.loc["x"].loc[50:, ["mean", "low", "high"]].isna().all(axis=None)
    assert set(bands.loc["x"].loc[50:, "n"]) == {2}


def test_the_seeds_that_count_may_be_more_than_ever_logged_and_fewer() -> None:
    rows = curves().query("arm == 'base' and metric == 'val/loss'")
    assert mean_bands(rows, ["step"], seeds={"base": frozenset(range(5))})["mean"].isna().all()
    fewer = mean_bands(rows, ["step"], seeds={"base": frozenset({1, 2})})
    assert list(fewer["mean"]) == pytest.approx(list(5.015 - 0.04 * fewer["step"]))
    twice = pd.concat([rows[rows["seed"] < 3], rows[rows["seed"] == 0]])
    assert mean_bands(twice, ["step"], seeds={"base": frozenset(range(4))})["mean"].isna().all()


@pytest.mark.parametrize("ended", [None, np.nan])
@pytest.mark.parametrize("metric", ["val/loss", "train/loss"])
def test_a_curve_is_broken_where_seeds_are_missing(metric: str, ended: float | None) -> None:
    records = Records(NOTHING, curves(ended=ended), ["base", "x"], trials=DIVERGED)
    made = draw_figure(records, kind="curve", metric=metric)
    base, x = mean_lines(made)
    assert base[0].max() == 100
    assert np.isfinite(base[1]).all()
    assert x[0].max() == 40
    assert "x: 2 of 4 seeds diverged" in told(made)
    assert "base:" not in told(made)
    # Two seeds go on thinly, a cross marks where each of the others ended.
    thin = [line for line in made.axes[0].get_lines() if line.get_linewidth() == 0.7]
    at_end = [np.asarray(line.get_xdata(), float) == 100 for line in thin]  # all seeds of an arm
    ends = [np.asarray(line.get_ydata(), float)[at] for line, at in zip(thin, at_end, strict=True)]
    assert [np.isfinite(values).sum() for values in ends] == [4, 2]
    (crosses,) = (c.get_offsets() for c in made.axes[0].collections if len(c.get_offsets()) == 2)
    assert np.asarray(crosses).tolist() == [[40, 13], [40, 13]]
    assert "a cross marks where a diverged trial ended" in told(made)


def test_a_gap_is_a_gap_and_not_the_end() -> None:
    history = curves(ended=4.0).query("metric == 'val/loss'")
    hole = (history["arm"] == "x") & (history["step"] == 60) & (history["seed"] == 1)
    made = draw_figure(
        Records(NOTHING, history[~hole], ["base", "x"]), kind="curve", metric="val/loss"
    )
    x = dict(zip(*mean_lines(made)[1], strict=True))
    assert [step for step, value in x.items() if not np.isfinite(value)] == [60]
    assert "x: 3 of 4 seeds" in told(made)


def test_without_statuses_the_seeds_are_counted() -> None:
    made = draw_figure(Records(NOTHING, curves(), ["base", "x"]), kind="curve", metric="val/loss")
    assert "x: 2 of 4 seeds" in told(made)
    assert "diverged" not in told(made)


def test_a_failed_trial_is_named_and_the_others_have_their_mean() -> None:
    history = curves().query("arm == 'base'")
    states = trials(base=["done"] * 4 + ["failed"])
    made = draw_figure(
        Records(NOTHING, history, ["base"], trials=states), kind="curve", metric="val/loss"
    )
    assert mean_lines(made)[0][0].max() == 100
    assert "base: 4 of 5 seeds" in told(made)


def test_arms_of_different_lengths_and_one_survivor_are_drawn() -> None:
    history = curves().query("metric == 'val/loss'")
    short = history[(history["arm"] == "x") | (history["step"] <= 70)]
    one = short[(short["arm"] == "base") | (short["seed"] == 0)]
    made = draw_figure(Records(NOTHING, short, ["base", "x"]), kind="curve", metric="val/loss")
    assert mean_lines(made)[0][0].max() == 70
    assert "base:" not in told(made)
    lonely = replace(Records(NOTHING, one, ["base", "x"]), trials=DIVERGED)
    made = draw_figure(lonely, kind="curve", metric="val/loss")
    assert not np.isfinite(mean_lines(made)[1][1]).any()
    assert any(text.get_text() == "x" for text in made.axes[0].texts)


@pytest.mark.parametrize("kind", ["bars", "points", "lines"])
def test_final_values_of_survivors_have_dots_and_no_mean(kind: str) -> None:
    table = results(base=[1, 2, 3, 4], x=[1, 2, np.nan, np.nan])
    records = Records(table, pd.DataFrame(columns=HISTORY), ["base", "x"], trials=DIVERGED)
    made = draw_figure(records, kind=kind, metric="z/layer{layer}", x="layer")
    axes = made.axes[0]
    assert "x: 2 of 4 seeds diverged" in told(made)
    if kind == "bars":
        assert [bar.get_height() for bar in axes.patches] == [2.5, 3.5, 0, 0]
    elif kind == "points":
        (bars,) = (line for line in axes.get_lines() if line.get_linewidth() == 2.5)
        ends = np.asarray(bars.get_ydata(), float).reshape(-1, 3)
        np.testing.assert_equal(ends, [[2.5, 2.5, np.nan], [3.5, 3.5, np.nan]])
    else:
        assert [len(x) for x, _ in mean_lines(made)] == [2, 0]
    dots = [c.get_offsets() for c in axes.collections if c.get_offsets().shape[0] > 1]
    shown = np.ma.masked_invalid(np.concatenate([np.asarray(d) for d in dots]))[:, 1].compressed()
    assert sorted(shown) == [1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5]


def test_an_arm_without_any_value_keeps_its_place_and_is_named() -> None:
    table = results(base=[1, 2], x=[np.nan, np.nan])
    states = trials(base=["done"] * 2, x=["diverged"] * 2)
    records = Records(table, pd.DataFrame(columns=HISTORY), ["base", "x"], trials=states)
    made = draw_figure(records, kind="points", metric="z/layer1")
    assert [t.get_text() for t in made.axes[0].get_xticklabels()] == ["base", "x"]
    assert "x: 2 of 2 seeds diverged" in told(made)


def test_a_scatter_has_no_point_of_survivors() -> None:
    table = pd.concat(
        [
            results(base=[1, 2, 3, 4], x=[1, 2, np.nan, 3]),
            results(base=[5, 6, 7, 8], x=[5, 6, 7]).replace({"metric": {"z/layer0": "t"}}),
        ]
    )
    records = Records(table, pd.DataFrame(columns=HISTORY), ["base", "x"], trials=DIVERGED)
    made = draw_figure(records, kind="scatter", metric="z/layer0", x="t")
    large = [line for line in made.axes[0].get_lines() if line.get_markersize() == 9]
    assert [line.get_xdata()[0] for line in large] == [6.5]  # type: ignore[index]
    assert "x: 2 of 4 seeds diverged" in told(made)
    assert {"base", "x"} <= {text.get_text() for text in made.axes[0].texts}


def test_cells_of_survivors_are_white() -> None:
    rows = [
        ("x", seed, f"z/{layer}/{unit}", np.nan if seed == layer == 1 else 1.0, "1")
        for seed in range(3)
        for layer in range(2)
        for unit in range(2)
    ]
    table = pd.DataFrame(rows, columns=RESULTS)
    records = Records(table, pd.DataFrame(columns=HISTORY), ["x"])
    made = draw_figure(records, **HEATMAP)
    cells = np.ma.filled(made.axes[0].get_images()[0].get_array(), np.nan)
    assert np.isnan(cells).tolist() == [[False] * 2, [True] * 2]
    assert "x: 2 of 3 seeds" in told(made)
    nowhere = replace(records, results=table[(table["seed"] == 0) | (table["metric"] == "z/0/0")])
    heatmap = {"title": "t", **HEATMAP, "metric": "z/1/{unit}", "y": "arm"}
    pictures, _, (line,) = draw_all({"x": read_figure("x", heatmap)}, nowhere)
    assert not pictures
    assert "no cell has a value of every seed (x: 1 of 3 seeds" in line


def test_the_first_seed_with_values_is_called_by_its_number() -> None:
    rows = [
        ("x", seed, f"z/{layer}/{unit}", np.nan if seed == 0 else seed, "1")
        for seed in range(2)
        for layer in range(2)
        for unit in range(2)
    ]
    records = Records(pd.DataFrame(rows, columns=RESULTS), pd.DataFrame(columns=HISTORY), ["x"])
    made = draw_figure(records, **HEATMAP, seeds="first")
    assert "seed 1 of x, as seed 0 has no values" in told(made)
    assert "first seed" not in told(made)
    kept = pd.DataFrame({"arm": "x", "seed": [1], "text": ["a"]})
    samples = Samples(title="t", table="s", columns=["text"])
    note = samples.draw(replace(records, tables={"s": kept})).note
    assert note.endswith("The rows of x are of seed 1, as seed 0 recorded none.")


def test_a_table_of_curves_is_broken_too() -> None:
    def table(**values: Any) -> dict[str, pd.DataFrame]:
        rows = [
            (arm, seed, x, value + x)
            for arm, numbers in values.items()
            for seed, value in enumerate(numbers)
            for x in range(3)
            if not (arm == "x" and seed == 2 and x == 2)
        ]
        return {"t": pd.DataFrame(rows, columns=["arm", "seed", "x", "v"])}

    records = Records(
        NOTHING, pd.DataFrame(columns=HISTORY), ["base", "x"], table(base=[1, 2, 3], x=[1, 2, 3])
    )
    made = draw_figure(records, kind="lines", table="t", metric="v", x="x")
    assert [x.max() for x, _ in mean_lines(made)] == [2, 1]
    assert "x: 2 of 3 seeds" in told(made)


def test_tensorboard_has_no_point_where_seeds_are_missing(tmp_path: Path) -> None:
    study = make_study()
    lost = (study.history["arm"] == "dense") & (study.history["seed"] >= 6)
    history = study.history[~(lost & (study.history["step"] > 150))]
    history = history.assign(
        value=history["value"].mask(
            (history["arm"] == "moe_top2")
            & (history["seed"] == 3)
            & (history["step"] == 60)
            & (history["metric"] == "val/loss")
        )
    )
    write_dashboard(tmp_path, replace(study, history=history), texts={}, images={})

    def steps(arm: str) -> list[int]:
        events: Any = EventAccumulator(str(tmp_path / arm)).Reload()
        return [point.step for point in events.Scalars("1 headlines/1 val/loss")]

    assert steps("dense") == [30, 60, 90, 120, 150]
    assert steps("moe_top2") == [step for step in range(30, 301, 30) if step != 60]


def test_a_noise_floor_says_how_many_pairs_it_is_from() -> None:
    rows = [
        (arm, seed, "time/step", np.nan if arm == "copy" and seed == 2 else 1.0 + seed, "ms")
        for arm in ("a", "copy")
        for seed in range(4)
    ]
    (line,) = noise_floor_lines(pd.DataFrame(rows, columns=RESULTS), {"copy": "a"}, "time/step")
    assert line.endswith("(3 of 4 seeds)")
