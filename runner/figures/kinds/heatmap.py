"""`kind: heatmap`: final values, or the history, as colours over two axes."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from runner.figures import ticks
from runner.figures.cells import paint_cells
from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import MetricFigure, unique_names
from runner.figures.notes import seed_notes
from runner.figures.panels import select_panel
from runner.figures.ranks import rank_by_last_value
from runner.figures.rows import required_seeds, select_rows
from runner.figures.sentences import describe, hover_text, source_words
from runner.figures.sheet import MAX_POINTS, Sheet, make_sheet
from runner.figures.templates import levels
from runner.figures.texts import level_text
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
    rank   whether y is ordered by its values at the last x, within each panel
    """

    kind: ClassVar[str] = "heatmap"
    allows_step_axis: ClassVar[bool] = True

    log: Literal["none", "y"] = "none"
    table: str | None = None
    x: str
    y: str
    seeds: Literal["mean", "first"] = "mean"
    rank: bool = False
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

    def draw(self, records: Records) -> Sheet:
        """Draw the cells; see `runner.figures.figure.Figure.draw`."""
        rows = select_rows(self, records)
        notes = seed_notes(self, records, rows)
        if self.rank:
            rows = rank_by_last_value(rows, self.y, self.x, self.group_columns)
        xs, ys = levels(rows, self.x), levels(rows, self.y)
        height = max(0.26 * min(len(ys), 12), ticks.inches_for(ys), 1.0)
        sheet = make_sheet(
            rows,
            self.panel,
            title=self.title,
            heights=(max(height, 2.0), height),
            least_width=max(1.9, ticks.inches_for(xs)),
            notes=notes,
        )
        columns = [self.x, self.y]
        means = mean_bands(rows, self.group_columns, seeds=required_seeds(self, records))
        place_of_x, place_of_y = ({v: i for i, v in enumerate(values)} for values in (xs, ys))
        tables, at_panel = [], []
        for panel in sheet.panels:
            mine = select_panel(means, self.panel, panel.key)
            at_panel.append(mine)
            table = np.full((len(ys), len(xs)), np.nan)
            table[mine[self.y].map(place_of_y), mine[self.x].map(place_of_x)] = mine["mean"]
            tables.append(table)
            # Panels share their ticks, so only those with labels need them set.
            if panel.at_bottom:
                ticks.set_ticks(panel.axes.xaxis, xs, sheet.panel_width())
            if panel.at_left:
                ticks.set_ticks(panel.axes.yaxis, ys, height)
        if not any(np.isfinite(table).any() for table in tables):
            raise CannotDrawError(f"no cell has a value of every seed ({'; '.join(notes)})")
        label = self.colour_label or self.value_label(records, rows)
        paint_cells(sheet, tables, log=self.log == "y", label=label)
        x_label = self.x_label or ("training step" if self.x == "step" else self.x)
        sheet.label_axes(x_label, self.y_label or self.y)
        every = -(-len(means) // MAX_POINTS) or 1
        for panel, mine in zip(sheet.panels, at_panel, strict=True):
            names = [level_text(c, v) for c, v in zip(self.panel, panel.key, strict=True)]
            for one in mine[mine["mean"].notna()].iloc[::every].to_dict("records"):
                texts = [*names, *(level_text(c, one[c]) for c in columns)]
                x, y = place_of_x[one[self.x]], place_of_y[one[self.y]]
                sheet.add_hover(panel.axes, x, y, hover_text(texts, one))
        sheet.alt = self._sentence(means, label, source_words(self, records, rows))
        return sheet

    def _sentence(self, means: pd.DataFrame, label: str, source: str) -> str:
        """Return the values of cells as a sentence; over steps, those of the last one."""
        where = ""
        if self.x == "step":
            means = means[means["step"] == means["step"].max()]
            where = f"at training step {means['step'].max():,}"
        values = [
            (", ".join(level_text(c, one[c]) for c in self.group_columns), float(one["mean"]))
            for one in means.to_dict("records")
        ]
        return describe([self.title, label], where, values, source)
