"""The figures of a sweep: each headline metric over the swept keys."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pandas as pd

from runner.figures.data import Records
from runner.figures.figure import Figure
from runner.figures.kinds.bars import Bars
from runner.figures.kinds.lines import Lines
from runner.figures.kinds.points import Points
from runner.metric_names import NOTHING_IF_DIVERGED
from runner.sweeps.jobs import format_settings, format_value
from runner.sweeps.record import KEY_PREFIX, PointRecord, SweepHeadline, SweepRecord
from runner.sweeps.wording import name_point
from runner.wording import quantity
from runner.wording.phrases import capitalise, join_with_and

POINT = "point"
OWN_COLUMNS = ("arm", "seed", "value")  # of the table of a figure; a swept key may have such a name
MAX_PANELS = 12
SMALL_RANGE = 0.5  # of the largest value; a smaller range of means needs no axis from zero


@dataclass(frozen=True)
class SweepAxes:
    """The places of the swept keys in a figure.

    Attributes:
        x: the column of the x axis.
        panels: the columns whose values have panels, at most two.
        is_number: whether x is a number.
        is_log: whether the values of x are nearer to powers than to equal steps.
        together: keys that change together with x, and so have no place of their own.
    """

    x: str
    panels: tuple[str, ...] = ()
    is_number: bool = False
    is_log: bool = False
    together: tuple[str, ...] = ()


def draw_sweep_figures(sweep: SweepRecord) -> tuple[dict[str, Figure], Records, list[str]]:
    """Return the figures of a sweep by name, their records, and notes on figures left out."""
    figures: dict[str, Figure] = {}
    tables: dict[str, pd.DataFrame] = {}
    notes: list[str] = []
    for headline in sweep.headlines:
        points = [point for point in sweep.reported if point.experiment == headline.experiment]
        name = figure_name(headline, sweep)
        if len(points) < 2:
            notes.append(f"{sweep.label(headline)} has no figure: only one point has values.")
            continue
        axes = choose_axes(sweep.keys, points)
        table = value_table(sweep, headline, points, axes)
        panels = [column_name(key) for key in axes.panels]
        if panels and len(table[panels].drop_duplicates()) > MAX_PANELS:
            notes.append(
                f"{sweep.label(headline)} has no figure: it would need over {MAX_PANELS} panels."
            )
            continue
        tables[name] = table
        figures[name] = make_figure(name, headline, axes, table, points)
    arms = list(dict.fromkeys(arm for headline in sweep.headlines for arm in headline.arms))
    empty = pd.DataFrame(columns=["arm", "seed", "metric", "step", "value", "unit"])
    declared = {
        one.metric: replace(NOTHING_IF_DIVERGED, lowest=one.limits[0], highest=one.limits[1])
        for one in sweep.headlines
    }
    return figures, Records(empty, empty, arms, tables, declared=declared), notes


def figure_name(headline: SweepHeadline, sweep: SweepRecord) -> str:
    """Return the name of a figure, as a file name: the metric, and the experiment if needed."""
    several = len({one.experiment for one in sweep.headlines}) > 1
    text = f"{headline.experiment}_{headline.metric}" if several else headline.metric
    same = [one for one in sweep.headlines if one.metric == headline.metric]
    if not several and len(same) > 1:
        text = f"{text}_{headline.baseline}"
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "headline"


def choose_axes(keys: Sequence[str], points: Sequence[PointRecord]) -> SweepAxes:
    """Return the places of the swept keys for these points.

    The number with the most values is on the x axis; without a number the key with the most
    values. Further keys have panels. If points have names or different keys, x is the point.
    """
    varying = [
        key for key in keys if len({format_value(one.settings.get(key)) for one in points}) > 1
    ]
    has_all = all(key in one.settings for key in varying for one in points)
    if not varying or not has_all or any(one.name for one in points):
        return SweepAxes(POINT)
    values = {key: [one.settings[key] for one in points] for key in varying}
    numbers = [key for key in varying if all(map(is_number, values[key]))]
    x = max(numbers or varying, key=lambda key: len({*map(format_value, values[key])}))
    together = tuple(key for key in varying if key != x and depends_on(values[key], values[x]))
    others = [key for key in varying if key != x and key not in together]
    panels = tuple(others) if len(others) <= 2 else (others[0], " ".join(others[1:]))
    is_log = x in numbers and are_powers(values[x])
    return SweepAxes(x, panels, x in numbers, is_log, together)


def is_number(value: Any) -> bool:
    """Return whether a value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def depends_on(values: Sequence[Any], others: Sequence[Any]) -> bool:
    """Return whether each of `others` comes with one of `values` only, as in a zipped sweep."""
    pairs = {(format_value(a), format_value(b)) for a, b in zip(others, values, strict=True)}
    return len(pairs) == len({*map(format_value, others)})


def are_powers(values: Sequence[float]) -> bool:
    """Return whether at least three positive values are nearer to equal ratios than equal steps."""
    ordered = sorted({float(value) for value in values})
    if len(ordered) < 3 or ordered[0] <= 0:
        return False
    ratios = [b / a for a, b in pairwise(ordered)]
    steps = [b - a for a, b in pairwise(ordered)]
    return max(ratios) / min(ratios) < max(steps) / min(steps)


def value_table(
    sweep: SweepRecord, headline: SweepHeadline, points: Sequence[PointRecord], axes: SweepAxes
) -> pd.DataFrame:
    """Return a row for each point, arm and seed: arm, seed, metric, columns of `axes`, value.

    If `seed` is swept, the seeds of each point are numbered from 0, so that each point has a mean.
    """
    rows = sweep.values[sweep.values["metric"] == headline.metric]
    rows = rows[rows["arm"].isin(headline.arms)]
    by_number = {point.number: point for point in points}
    rows = rows[rows["point"].isin(by_number)]
    columns: dict[str, list[Any]] = {}
    for column in (axes.x, *axes.panels):
        columns[column_name(column)] = [
            column_value(by_number[number], column, is_axis=column == axes.x and axes.is_number)
            for number in rows["point"]
        ]
    table = rows[[*OWN_COLUMNS]].reset_index(drop=True)
    if "seed" in (axes.x, *axes.panels):
        seeds = rows.groupby(["point", "arm"], sort=False)["seed"]
        table["seed"] = (seeds.rank(method="dense") - 1).astype(int).to_numpy()
    return table.assign(metric=headline.metric, **columns)


def column_name(key: str) -> str:
    """Return the name of a swept key's column in the table of a figure."""
    return f"{KEY_PREFIX}{key}" if key in OWN_COLUMNS else key


def column_value(point: PointRecord, column: str, *, is_axis: bool = False) -> Any:
    """Return a point's value in a column: a number on an axis, otherwise a text."""
    if column == POINT:
        return name_point(point)
    if is_axis:
        return point.settings[column]
    if column in point.settings:
        return format_value(point.settings[column])
    return format_settings({key: point.settings[key] for key in column.split()})


def make_figure(
    name: str,
    headline: SweepHeadline,
    axes: SweepAxes,
    table: pd.DataFrame,
    points: Sequence[PointRecord],
) -> Figure:
    """Return the figure of a headline: bands over a number, bars or points over names."""
    label = headline.label
    display = quantity.display_unit(headline.unit, table["value"].tolist())
    is_recorded = display.factor == 1 and display.name
    texts: dict[str, Any] = {
        "title": f"{capitalise(label)} over {'the points' if axes.x == POINT else axes.x}",
        "y_label": f"{label} ({display.name})" if is_recorded else label,
        "x_label": "" if axes.x == POINT else axes.x,
        "panel": [column_name(key) for key in axes.panels],
        "table": name,
        "metric": "value",
        "x": column_name(axes.x),
    }
    together = describe_together(axes, points) + describe_missing_means(table, axes)
    if axes.is_number:
        caption = f"Means with 95 % bands; dots are seeds.{together}"
        return Lines(**texts, caption=caption, log="x" if axes.is_log else "none", interval="band")
    means = table.groupby(["arm", column_name(axes.x)])["value"].mean().abs()
    is_small_range = means.max() - means.min() < SMALL_RANGE * means.max()
    kind = Points if is_small_range else Bars
    start = "The axis does not start at zero" if kind is Points else "The axis starts at zero"
    return kind(**texts, caption=f"Means with 95 % intervals; dots are seeds. {start}.{together}")


def describe_missing_means(table: pd.DataFrame, axes: SweepAxes) -> str:
    """Return a sentence if points have fewer seeds than others; means there would mislead."""
    places = [column_name(column) for column in (axes.x, *axes.panels)]
    counts = table.groupby(["arm", *places])["seed"].nunique()
    fewer = (counts < counts.groupby("arm").transform("max")).any()
    return " Where an arm has fewer seeds than elsewhere, only dots are drawn." if fewer else ""


def describe_together(axes: SweepAxes, points: Sequence[PointRecord]) -> str:
    """Return a sentence on the keys that change together with x; "" without any."""
    if not axes.together:
        return ""
    values: Mapping[str, None] = dict.fromkeys(
        format_settings({key: point.settings[key] for key in (axes.x, *axes.together)})
        for point in points
    )
    return f" {join_with_and(list(axes.together))} changes with {axes.x}: {'; '.join(values)}."
