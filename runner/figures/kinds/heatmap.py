"""`kind: heatmap`: final values, or the history, as colours over two axes."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from runner.figures import canvas, ticks
from runner.figures.cells import paint_cells
from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import MetricFigure, unique_names
from runner.figures.mpl import MplFigure
from runner.figures.notes import seed_notes
from runner.figures.panels import axes_inches, make_panels
from runner.figures.rows import required_seeds, select_rows
from runner.figures.templates import levels
from runner.stats.bands import mean_bands


@dataclass(frozen=True, kw_only=True)
class Heatmap(MetricFigure):
    """A cell per level of x and y, coloured by the mean over seeds or by the first seed.

    A cell that lacks a seed stays white.

    log    `y` makes the colour scale logarithmic
    table  name of a table that trials keep, whose rows are drawn
    x      a placeholder or column; `step`: the values come from the history
    y      a placeholder or column
    seeds  mean: over all; first: only the first seed of each arm, where seeds share no identity
    """

    kind: ClassVar[str] = "heatmap"
    allows_step_axis: ClassVar[bool] = True

    log: Literal["none", "y"] = "none"
    table: str | None = None
    x: str
    y: str
    seeds: Literal["mean", "first"] = "mean"
    colour_label: str | None = None

    @property
    def source_table(self) -> str | None:
        """The table that holds the values; None where metrics do."""
        return self.table

    @property
    def group_columns(self) -> list[str]:
        """The columns that tell values apart."""
        return unique_names(*self.panel, self.x, self.y)

    @property
    def shows_one_seed(self) -> bool:
        """Whether the figure shows one seed of each arm, and no mean."""
        return self.seeds == "first"

    def draw(self, records: Records) -> MplFigure:
        """Draw the cells; `runner.figures.figure.Figure.draw` says more."""
        rows = select_rows(self, records)
        xs, ys = levels(rows, self.x), levels(rows, self.y)
        size = (
            max(5.4, 2 + ticks.inches_for(xs)) + 0.6 * ticks.widest_inches(ys),
            1.6
            + max(0.28 * min(len(ys), 14), 1.1 * ticks.inches_for(ys))
            + 0.6 * ticks.widest_inches(xs),
        )
        told = seed_notes(self, records, rows)
        figure, made = make_panels(rows, self.panel, title=self.title, size=size, notes=told)
        width, height = axes_inches(figure, made)
        width -= ticks.widest_inches(ys) / max(1, len({panel.column for panel in made}))
        tables = []
        for panel in made:
            means = mean_bands(panel.rows, [self.x, self.y], seeds=required_seeds(self, records))
            cells = means.pivot(index=self.y, columns=self.x, values="mean")
            tables.append(cells.reindex(index=ys, columns=xs).to_numpy(float))
            x_rest = ticks.set_ticks(panel.axes.xaxis, xs, width)
            y_rest = ticks.set_ticks(panel.axes.yaxis, ys, height)
        if not any(np.isfinite(table).any() for table in tables):
            raise CannotDrawError(f"no cell has a value of every seed ({'; '.join(told)})")
        label = self.colour_label or self.value_label(records, rows)
        paint_cells(figure, made, tables, log=self.log == "y", label=label)
        x_label = self.x_label or ("training step" if self.x == "step" else self.x)
        y_label = self.y_label or self.y
        canvas.set_axis_labels(
            figure,
            made,
            ticks.append_to_label(x_label, x_rest),
            ticks.append_to_label(y_label, y_rest),
        )
        return figure
