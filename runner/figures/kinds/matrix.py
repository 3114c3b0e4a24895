"""`kind: matrix`: the matrices of one trial, such as the attention of each head, as colours."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pandas as pd

from runner.figures import canvas, ticks
from runner.figures.cells import paint_cells
from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import MetricFigure, unique_names
from runner.figures.mpl import MplFigure
from runner.figures.notes import seed_notes
from runner.figures.panels import Panel, axes_inches, make_panels
from runner.figures.rows import select_rows
from runner.figures.templates import levels
from runner.figures.texts import drawable_text
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

    def draw(self, records: Records) -> MplFigure:
        """Draw the matrices; see `runner.figures.figure.Figure.draw`."""
        rows = select_rows(self, records)
        is_single = len(rows[self.panel].drop_duplicates()) == 1 or not self.panel
        size = tuple(
            max(least, 1.85 * _max_inches(rows, self.panel, column, texts))
            for least, column, texts in zip(
                (6.2, 5.4) if is_single else (4.4, 4.3),
                (self.x, self.y),
                (self.x_ticks, self.y_ticks),
                strict=True,
            )
        )
        figure, panels = make_panels(
            rows,
            self.panel,
            title=self.title,
            size=(size[0], size[1]),
            notes=seed_notes(self, records, rows),
            wrap=True,
        )
        tables = [
            panel.rows.pivot(index=self.y, columns=self.x, values="value")
            .reindex(index=levels(panel.rows, self.y), columns=levels(panel.rows, self.x))
            .to_numpy(float)
            for panel in panels
        ]
        width, height = axes_inches(figure, panels)
        along = unique_names(self.x, self.y, *self.tick_columns)
        same_axes = len({_axis_values(panel, along) for panel in panels}) == 1
        notes = []
        for panel in panels:
            x_note = _set_ticks(panel, self.x, self.x_ticks, width, panel.axes.xaxis)
            notes.append(
                (x_note, _set_ticks(panel, self.y, self.y_ticks, height, panel.axes.yaxis))
            )
            if same_axes:
                panel.axes.tick_params(labelbottom=panel.at_bottom, labelleft=panel.at_left)
            if self.panel_metrics:
                metrics = drawable_text(self._format_metrics(panel, records))
                panel.axes.set_title(f"{panel.axes.get_title(loc='left')}\n{metrics}", fontsize=10)
        label = self.colour_label or self.value_label(records, rows)
        paint_cells(figure, panels, tables, log=self.log == "y", label=label)
        x_label, y_label = self.x_label or self.x, self.y_label or self.y
        canvas.set_axis_labels(figure, panels, x_label, y_label)
        for panel, (x_note, y_note) in zip(panels, notes, strict=True):
            if x_note and (panel.at_bottom or not same_axes):
                label = x_label if panel.at_bottom else ""
                panel.axes.set_xlabel(drawable_text(ticks.append_to_label(label, x_note)))
            if y_note and (panel.at_left or not same_axes):
                label = y_label if len(panels) == 1 else ""
                panel.axes.set_ylabel(drawable_text(ticks.append_to_label(label, y_note)))
        return figure

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
            f"{short} {quantity.format_number(values.get(metric), 3)}"
            + (" (clipped)" if metric in clipped else "")
            for short, metric in metrics.items()
        )


def _max_inches(rows: pd.DataFrame, by: list[str], column: str, texts: str | None) -> float:
    """Return the length in inches of an axis with the names of the panel that has most."""
    panel_rows = [group for _, group in rows.groupby(by)] if by else [rows]
    most = max((levels(one, column) for one in panel_rows), key=len)
    return ticks.inches_for(most if texts is None else [""] * len(most), ticks.MIN_FONT_SIZE)


def _axis_values(panel: Panel, along: list[str]) -> tuple[frozenset[Any], ...]:
    """Return the values of a panel's axes, from these columns."""
    return tuple(frozenset(panel.rows[column]) for column in along)


def _set_ticks(panel: Panel, column: str, texts: str | None, inches: float, axis: Any) -> str:
    """Name the cells of an axis; return a note for its label on cells without a tick."""
    cells = levels(panel.rows, column)
    if texts is None:
        return ticks.set_ticks(axis, cells, inches)
    labels = panel.rows.groupby(column)[texts].agg(["first", "nunique"])
    if (labels["nunique"] > 1).any():
        raise CannotDrawError(
            f"{texts} has several texts for the same {column}; name the column that distinguishes "
            "them in panel"
        )
    return ticks.set_tick_names(
        axis, [str(text) for text in labels["first"].reindex(cells)], inches
    )
