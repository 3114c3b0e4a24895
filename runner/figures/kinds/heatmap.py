"""`kind: heatmap`: final values, or the history, as colours over two axes."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from runner.figures import canvas, ticks
from runner.figures.cells import paint_cells
from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import MetricFigure, columns
from runner.figures.mpl import MplFigure
from runner.figures.notes import notes
from runner.figures.panels import axes_inches, panels
from runner.figures.rows import counted, rows_of
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
    over_steps: ClassVar[bool] = True

    log: Literal["none", "y"] = "none"
    table: str | None = None
    x: str
    y: str
    seeds: Literal["mean", "first"] = "mean"
    colour_label: str | None = None

    @property
    def source(self) -> str | None:
        """The table that holds the values; None where metrics do."""
        return self.table

    @property
    def by(self) -> list[str]:
        """The columns that tell values apart."""
        return columns(*self.panel, self.x, self.y)

    @property
    def of_one_seed(self) -> bool:
        """Whether the figure shows one seed of each arm, and no mean."""
        return self.seeds == "first"

    def draw(self, records: Records) -> MplFigure:
        """Draw the cells; `runner.figures.figure.Figure.draw` says more."""
        rows = rows_of(self, records)
        xs, ys = levels(rows, self.x), levels(rows, self.y)
        size = (
            max(5.4, 2 + ticks.inches_for(xs)) + 0.6 * ticks.widest_inches(ys),
            1.6
            + max(0.28 * min(len(ys), 14), 1.1 * ticks.inches_for(ys))
            + 0.6 * ticks.widest_inches(xs),
        )
        told = notes(self, records, rows)
        figure, made = panels(rows, self.panel, title=self.title, size=size, notes=told)
        width, height = axes_inches(figure, made)
        width -= ticks.widest_inches(ys) / max(1, len({panel.column for panel in made}))
        tables = []
        for panel in made:
            means = mean_bands(panel.rows, [self.x, self.y], seeds=counted(self, records))
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
        canvas.axis_labels(
            figure, made, ticks.with_rest(x_label, x_rest), ticks.with_rest(y_label, y_rest)
        )
        return figure
