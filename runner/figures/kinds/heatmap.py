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

    A cell with a missing seed stays white.

    log    `y` makes the colour scale logarithmic
    table  name of a table that trials record, whose rows are drawn
    x      a placeholder or column; `step`: the values come from the history
    y      a placeholder or column
    seeds  mean: over all seeds; first: the first seed of each arm, e.g. if heads differ by seed
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
        """The table that holds the values; None if metrics do."""
        return self.table

    @property
    def group_columns(self) -> list[str]:
        """The columns that distinguish values."""
        return unique_names(*self.panel, self.x, self.y)

    @property
    def shows_one_seed(self) -> bool:
        """Whether the figure shows one seed of each arm instead of a mean."""
        return self.seeds == "first"

    def draw(self, records: Records) -> MplFigure:
        """Draw the cells; see `runner.figures.figure.Figure.draw`."""
        rows = select_rows(self, records)
        xs, ys = levels(rows, self.x), levels(rows, self.y)
        size = (
            max(5.4, 2 + ticks.inches_for(xs)) + 0.6 * ticks.widest_inches(ys),
            1.6
            + max(0.28 * min(len(ys), 14), 1.1 * ticks.inches_for(ys))
            + 0.6 * ticks.widest_inches(xs),
        )
        notes = seed_notes(self, records, rows)
        figure, panels = make_panels(rows, self.panel, title=self.title, size=size, notes=notes)
        width, height = axes_inches(figure, panels)
        width -= ticks.widest_inches(ys) / max(1, len({panel.column for panel in panels}))
        tables = []
        for panel in panels:
            means = mean_bands(panel.rows, [self.x, self.y], seeds=required_seeds(self, records))
            cells = means.pivot(index=self.y, columns=self.x, values="mean")
            tables.append(cells.reindex(index=ys, columns=xs).to_numpy(float))
            x_note = ticks.set_ticks(panel.axes.xaxis, xs, width)
            y_note = ticks.set_ticks(panel.axes.yaxis, ys, height)
        if not any(np.isfinite(table).any() for table in tables):
            raise CannotDrawError(f"no cell has a value of every seed ({'; '.join(notes)})")
        label = self.colour_label or self.value_label(records, rows)
        paint_cells(figure, panels, tables, log=self.log == "y", label=label)
        x_label = self.x_label or ("training step" if self.x == "step" else self.x)
        y_label = self.y_label or self.y
        canvas.set_axis_labels(
            figure,
            panels,
            ticks.append_to_label(x_label, x_note),
            ticks.append_to_label(y_label, y_note),
        )
        return figure
