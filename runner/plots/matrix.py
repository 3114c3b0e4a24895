"""A trial's own matrices, such as the attention of each head, as colours."""

import unicodedata
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from runner import quantity
from runner.plots import canvas
from runner.plots.cells import number_ticks, paint_cells
from runner.plots.data import CannotDrawError, Records, seed_note
from runner.plots.figures import FigureSpec
from runner.plots.panels import Panel, legible, panels
from runner.plots.templates import fill, levels

SMALLEST = 5.5  # points; a smaller text is left out


def matrix(spec: FigureSpec, records: Records) -> Figure:
    """The first seed's cells of a table, a panel each, y from top to bottom.

    A panel has its own axes, so sentences of different lengths can stand side by side.
    """
    assert spec.x is not None
    assert spec.y is not None
    rows = records.rows(spec)
    size = (
        (6.2, 5.4) if len(rows[spec.panel].drop_duplicates()) == 1 or not spec.panel else (4.4, 4.3)
    )
    figure, made = panels(rows, spec, size=size, note=seed_note(rows, spec), wrapped=True)
    tables = [
        panel.rows.pivot(index=spec.y, columns=spec.x, values="value")
        .reindex(index=levels(panel.rows, spec.y), columns=levels(panel.rows, spec.x))
        .to_numpy(float)
        for panel in made
    ]
    width, height = _inches(figure, made)
    alike = len({_read(panel, spec) for panel in made}) == 1
    for panel in made:
        _ticks(panel, spec.x, spec.x_ticks, width, panel.axes.xaxis)
        _ticks(panel, spec.y, spec.y_ticks, height, panel.axes.yaxis)
        if alike:
            panel.axes.tick_params(labelbottom=panel.at_bottom, labelleft=panel.at_left)
        if spec.panel_metrics:
            measured = _measured(panel, spec, records)
            panel.axes.set_title(f"{panel.axes.get_title(loc='left')}\n{measured}", fontsize=10)
    label = spec.colour_label or records.axis(spec, rows)
    paint_cells(figure, made, tables, log=spec.log == "y", label=label)
    canvas.axis_labels(figure, made, spec.x_label or spec.x, spec.y_label or spec.y)
    return figure


def _read(panel: Panel, spec: FigureSpec) -> tuple[frozenset[Any], ...]:
    """What stands along the axes of a panel."""
    columns = filter(None, (spec.x, spec.y, spec.x_ticks, spec.y_ticks))
    return tuple(frozenset(panel.rows[column]) for column in columns)


def _inches(figure: Figure, made: list[Panel]) -> tuple[float, float]:
    """About what one pair of axes has, when labels and titles have taken theirs."""
    n_columns = 1 + max(p.axes.get_subplotspec().colspan.start for p in made)  # type: ignore[union-attr]
    n_rows = 1 + max(p.axes.get_subplotspec().rowspan.start for p in made)  # type: ignore[union-attr]
    return 0.75 * figure.get_figwidth() / n_columns, 0.65 * figure.get_figheight() / n_rows


def _ticks(panel: Panel, column: str, texts: str | None, inches: float, axis: Any) -> None:
    if texts is None:
        number_ticks(axis, levels(panel.rows, column))
        return
    labels = panel.rows.groupby(column)[texts].agg(["first", "nunique"])
    if (labels["nunique"] > 1).any():
        raise CannotDrawError(
            f"{texts} has several texts for the same {column}; name in panel what tells them apart"
        )
    shown = [legible(str(text)) for text in labels["first"].reindex(levels(panel.rows, column))]
    size = min(10.0, 0.85 * inches * 72 / len(shown))
    every = 1 if size >= SMALLEST else int(np.ceil(SMALLEST / size))
    axis.set_ticks(range(0, len(shown), every), shown[::every], fontsize=max(size, SMALLEST))
    widest = max(_width(text) for text in shown) * 0.6 * max(size, SMALLEST)
    if axis is panel.axes.xaxis and widest > inches * 72 / len(shown) * every:
        axis.set_tick_params(labelrotation=90)


def _width(text: str) -> int:
    """Columns that a text takes; a Japanese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _measured(panel: Panel, spec: FigureSpec, records: Records) -> str:
    """The metrics of one panel, of the trial that the panel shows: `H 1.2, d 4`."""
    trial = panel.rows.iloc[0]
    results = records.results
    mine = results[(results["arm"] == trial["arm"]) & (results["seed"] == trial["seed"])]
    values: pd.Series = mine.set_index("metric")["value"]
    at = dict(zip(spec.panel, panel.key, strict=True))
    return ", ".join(
        f"{short} {quantity.number(values.get(fill(template, at)), 3)}"
        for short, template in spec.panel_metrics.items()
    )
