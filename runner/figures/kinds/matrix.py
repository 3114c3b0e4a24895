"""`kind: matrix`: the matrices of one trial, such as the attention of each head, as colours."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from runner.figures import ticks
from runner.figures.canvas import TICK_SIZE
from runner.figures.cells import paint_cells
from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import MetricFigure, unique_names
from runner.figures.notes import seed_notes
from runner.figures.panels import Panel
from runner.figures.rows import select_rows
from runner.figures.sentences import describe, source_words
from runner.figures.sheet import Sheet, make_sheet
from runner.figures.templates import levels
from runner.figures.texts import drawable_text, level_text
from runner.metric_names import fill_template, placeholders
from runner.wording import quantity


@dataclass(frozen=True, kw_only=True)
class Matrix(MetricFigure):
    """A panel per matrix, with the cells of a table of the first seed; y runs from top to bottom.

    Each panel has its own axes, so sentences of different lengths can be side by side.

    log               `y` makes the colour scale logarithmic
    table             name of a table that trials record
    x, y              the columns of the axes
    x_ticks, y_ticks  the columns with the text of each tick
    panel_metrics     short name -> metric template, whose value is in the panel's title
    """

    kind: ClassVar[str] = "matrix"
    shows_one_trial: ClassVar[bool] = True

    log: Literal["none", "y"] = "none"
    table: str
    x: str
    y: str
    x_ticks: str | None = None
    y_ticks: str | None = None
    panel_metrics: dict[str, str] = field(default_factory=dict)
    colour_label: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_arms("panel: [arm]")
        for template in self.panel_metrics.values():
            if unknown := set(placeholders(template)) - set(self.panel):
                raise ValueError(
                    f"{template!r} in panel_metrics: {sorted(unknown)} are not in panel"
                )

    @property
    def source_table(self) -> str:
        """The table that holds the values."""
        return self.table

    @property
    def tick_columns(self) -> list[str]:
        """The columns of the table with the texts of the ticks."""
        return unique_names(self.x_ticks, self.y_ticks)

    @property
    def group_columns(self) -> list[str]:
        """The columns that distinguish values."""
        return unique_names(*self.panel, self.x, self.y)

    def draw(self, records: Records) -> Sheet:
        """Draw the matrices; see `runner.figures.figure.Figure.draw`."""
        rows = select_rows(self, records)
        is_single = len(rows[self.panel].drop_duplicates()) == 1 or not self.panel
        x_names, y_names = (
            _most_names(rows, self.panel, column, texts)
            for column, texts in ((self.x, self.x_ticks), (self.y, self.y_ticks))
        )
        height = max(4.0 if is_single else 2.0, ticks.inches_for(y_names, ticks.MIN_FONT_SIZE))
        sheet = make_sheet(
            rows,
            self.panel,
            title=self.title,
            heights=(height, height),
            least_width=max(2.0, ticks.inches_for(x_names, 7.5)),
            notes=seed_notes(self, records, rows),
            wrap=True,
        )
        tables = [
            panel.rows.pivot(index=self.y, columns=self.x, values="value")
            .reindex(index=levels(panel.rows, self.y), columns=levels(panel.rows, self.x))
            .to_numpy(float)
            for panel in sheet.panels
        ]
        along = unique_names(self.x, self.y, *self.tick_columns)
        same_axes = len({_axis_values(panel, along) for panel in sheet.panels}) == 1
        for panel, table in zip(sheet.panels, tables, strict=True):
            # Equal axes have ticks at the edges of the grid only.
            if panel.at_bottom or not same_axes:
                _set_ticks(panel, self.x, self.x_ticks, sheet.panel_width(), panel.axes.xaxis)
            else:
                panel.axes.set_xticks([])
            if panel.at_left or not same_axes:
                _set_ticks(panel, self.y, self.y_ticks, height, panel.axes.yaxis)
            else:
                panel.axes.set_yticks([])
            if self.panel_metrics:
                metrics = drawable_text(self._format_metrics(panel, records))
                panel.axes.set_title(
                    f"{panel.axes.get_title(loc='left')}\n{metrics}", fontsize=TICK_SIZE - 1
                )
            self._add_hover(sheet, panel, table)
        label = self.colour_label or self.value_label(records, rows)
        paint_cells(sheet, tables, log=self.log == "y", label=label)
        sheet.label_axes(self.x_label or self.x, self.y_label or self.y)
        largest = [
            (_panel_name(self.panel, panel), float(np.nanmax(table)))
            for panel, table in zip(sheet.panels, tables, strict=True)
        ]
        source = source_words(self, records, rows)
        sheet.alt = describe([self.title, f"largest {label} of each panel"], "", largest, source)
        return sheet

    def _add_hover(self, sheet: Sheet, panel: Panel, table: np.ndarray) -> None:
        """Add the largest cell of each row to the values on hover."""
        if not self.x_ticks:
            x_names = list(map(str, levels(panel.rows, self.x)))
        else:
            x_names = list(panel.rows.groupby(self.x)[self.x_ticks].first().astype(str))
        y_names = levels(panel.rows, self.y)
        if self.y_ticks:
            y_names = list(panel.rows.groupby(self.y)[self.y_ticks].first().astype(str))
        for i, cells in enumerate(table):
            if np.isfinite(cells).any():
                j = int(np.nanargmax(cells))
                value = quantity.format_number(float(cells[j]), 3)
                where = (
                    f"{self.y_label or self.y} {y_names[i]}, {self.x_label or self.x} {x_names[j]}"
                )
                sheet.add_hover(
                    panel.axes, j, i, f"{_panel_name(self.panel, panel)}, {where}: {value}"
                )

    def _format_metrics(self, panel: Panel, records: Records) -> str:
        """Return the metrics of a panel's trial as `H 1.2, d 4`."""
        trial = panel.rows.iloc[0]
        results = records.results
        trial_results = results[
            (results["arm"] == trial["arm"]) & (results["seed"] == trial["seed"])
        ]
        values: pd.Series = trial_results.set_index("metric")["value"]
        clipped = set(trial_results["metric"][records.is_clipped(trial_results)])
        levels_of_panel = dict(zip(self.panel, panel.key, strict=True))
        metrics = {
            short: fill_template(template, levels_of_panel)
            for short, template in self.panel_metrics.items()
        }
        return ", ".join(
            f"{short} {_short_number(values.get(metric))}"
            + (" (clipped)" if metric in clipped else "")
            for short, metric in metrics.items()
        )


def _short_number(value: float | None) -> str:
    """Return a value with three digits; below 1 with three decimals, so that 6e-9 is 0.000."""
    if value is not None and abs(value) < 1:
        return f"{value:.3f}"
    return quantity.format_number(value, 3)


def _panel_name(columns: list[str], panel: Panel) -> str:
    return ", ".join(level_text(c, v) for c, v in zip(columns, panel.key, strict=True))


def _most_names(rows: pd.DataFrame, by: list[str], column: str, texts: str | None) -> list[Any]:
    """Return the values on an axis of the panel that has most; with texts, as many names."""
    panel_rows = [group for _, group in rows.groupby(by)] if by else [rows]
    most = max((levels(one, column) for one in panel_rows), key=len)
    return most if texts is None else [""] * len(most)


def _axis_values(panel: Panel, along: list[str]) -> tuple[frozenset[Any], ...]:
    """Return the values of a panel's axes, from these columns."""
    return tuple(frozenset(panel.rows[column]) for column in along)


def _set_ticks(panel: Panel, column: str, texts: str | None, inches: float, axis: Any) -> None:
    """Name the cells of an axis."""
    cells = levels(panel.rows, column)
    if texts is None:
        ticks.set_ticks(axis, cells, inches)
        return
    labels = panel.rows.groupby(column)[texts].agg(["first", "nunique"])
    if (labels["nunique"] > 1).any():
        raise CannotDrawError(
            f"{texts} has several texts for the same {column}; name the column that distinguishes "
            "them in panel"
        )
    ticks.set_tick_names(axis, [str(text) for text in labels["first"].reindex(cells)], inches)
