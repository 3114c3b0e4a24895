"""A trial's own matrices, such as the attention of each head, as colours."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from runner.figures import canvas, ticks
from runner.figures.cells import paint_cells
from runner.figures.data import CannotDrawError, Records
from runner.figures.notes import notes
from runner.figures.panels import Panel, axes_inches, panels
from runner.figures.spec import FigureSpec
from runner.figures.templates import levels
from runner.figures.texts import legible
from runner.metric_names import fill
from runner.wording import quantity


def matrix(spec: FigureSpec, records: Records) -> Figure:
    """The first seed's cells of a table, a panel each, y from top to bottom.

    A panel has its own axes, so sentences of different lengths can stand side by side.
    """
    assert spec.x is not None
    assert spec.y is not None
    rows = records.rows(spec)
    alone = len(rows[spec.panel].drop_duplicates()) == 1 or not spec.panel
    size = tuple(
        max(least, 1.85 * _most_inches(rows, spec, column, texts))
        for least, column, texts in zip(
            (6.2, 5.4) if alone else (4.4, 4.3),
            (spec.x, spec.y),
            (spec.x_ticks, spec.y_ticks),
            strict=True,
        )
    )
    figure, made = panels(
        rows, spec, size=(size[0], size[1]), notes=notes(records, spec, rows), wrapped=True
    )
    tables = [
        panel.rows.pivot(index=spec.y, columns=spec.x, values="value")
        .reindex(index=levels(panel.rows, spec.y), columns=levels(panel.rows, spec.x))
        .to_numpy(float)
        for panel in made
    ]
    width, height = axes_inches(figure, made)
    alike = len({_read(panel, spec) for panel in made}) == 1
    rest = []
    for panel in made:
        x_rest = _ticks(panel, spec.x, spec.x_ticks, width, panel.axes.xaxis)
        rest.append((x_rest, _ticks(panel, spec.y, spec.y_ticks, height, panel.axes.yaxis)))
        if alike:
            panel.axes.tick_params(labelbottom=panel.at_bottom, labelleft=panel.at_left)
        if spec.panel_metrics:
            measured = legible(_measured(panel, spec, records))
            panel.axes.set_title(f"{panel.axes.get_title(loc='left')}\n{measured}", fontsize=10)
    label = spec.colour_label or records.axis(spec, rows)
    paint_cells(figure, made, tables, log=spec.log == "y", label=label)
    x_label, y_label = spec.x_label or spec.x, spec.y_label or spec.y
    canvas.axis_labels(figure, made, x_label, y_label)
    for panel, (x_rest, y_rest) in zip(made, rest, strict=True):
        if x_rest and (panel.at_bottom or not alike):
            shown = x_label if panel.at_bottom else ""
            panel.axes.set_xlabel(legible(ticks.with_rest(shown, x_rest)))
        if y_rest and (panel.at_left or not alike):
            shown = y_label if len(made) == 1 else ""
            panel.axes.set_ylabel(legible(ticks.with_rest(shown, y_rest)))
    return figure


def _most_inches(rows: pd.DataFrame, spec: FigureSpec, column: str, texts: str | None) -> float:
    """What the names along one axis need in the panel that has most of them."""
    panels_rows = [group for _, group in rows.groupby(spec.panel)] if spec.panel else [rows]
    most = max((levels(one, column) for one in panels_rows), key=len)
    return ticks.inches_for(most if texts is None else [""] * len(most), ticks.SMALLEST)


def _read(panel: Panel, spec: FigureSpec) -> tuple[frozenset[Any], ...]:
    """What stands along the axes of a panel."""
    columns = filter(None, (spec.x, spec.y, spec.x_ticks, spec.y_ticks))
    return tuple(frozenset(panel.rows[column]) for column in columns)


def _ticks(panel: Panel, column: str, texts: str | None, inches: float, axis: Any) -> str:
    """Name the cells of an axis; return what its label must say of those without a tick."""
    cells = levels(panel.rows, column)
    if texts is None:
        return ticks.set_ticks(axis, cells, inches)
    labels = panel.rows.groupby(column)[texts].agg(["first", "nunique"])
    if (labels["nunique"] > 1).any():
        raise CannotDrawError(
            f"{texts} has several texts for the same {column}; name in panel what tells them apart"
        )
    return ticks.set_names(axis, [str(text) for text in labels["first"].reindex(cells)], inches)


def _measured(panel: Panel, spec: FigureSpec, records: Records) -> str:
    """The metrics of one panel, of the trial that the panel shows: `H 1.2, d 4`."""
    trial = panel.rows.iloc[0]
    results = records.results
    mine = results[(results["arm"] == trial["arm"]) & (results["seed"] == trial["seed"])]
    values: pd.Series = mine.set_index("metric")["value"]
    clipped = set(mine["metric"][records.is_clipped(mine)])
    at = dict(zip(spec.panel, panel.key, strict=True))
    named = {short: fill(template, at) for short, template in spec.panel_metrics.items()}
    return ", ".join(
        f"{short} {quantity.number(values.get(metric), 3)}"
        + (" (clipped)" if metric in clipped else "")
        for short, metric in named.items()
    )
