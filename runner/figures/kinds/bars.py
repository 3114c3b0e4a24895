"""`kind: bars`: final values per category and arm, on an axis from zero."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from runner.figures import canvas, ticks
from runner.figures.data import Records
from runner.figures.figure import MetricFigure, unique_names
from runner.figures.mpl import Axes, MplFigure
from runner.figures.notes import seed_notes
from runner.figures.panels import axes_inches, make_panels
from runner.figures.rows import required_seeds, select_rows
from runner.figures.templates import levels
from runner.stats.bands import SeedsByArm, mean_bands


@dataclass(frozen=True, kw_only=True)
class Bars(MetricFigure):
    """A group per x category, with a bar, its 95 % interval and the seeds' dots per level of hue.

    table      name of a table that trials record, whose rows are drawn
    x          a placeholder or column; by default, each level of the hue is a category
    hue        the column whose levels have colours; by default arm
    seeds      mean: over all seeds; first: the first seed of each arm, e.g. if heads differ by seed
    reference  a value of y with a dashed line, next to which `reference_label` is written
    """

    kind: ClassVar[str] = "bars"
    has_dots: ClassVar[bool] = True
    from_zero: ClassVar[bool] = True

    log: Literal["none", "y"] = "none"
    table: str | None = None
    x: str | None = None
    hue: str | None = None
    seeds: Literal["mean", "first"] = "mean"
    reference: float | None = None
    reference_label: str = ""

    @property
    def source_table(self) -> str | None:
        """The table that holds the values; None if metrics do."""
        return self.table

    @property
    def group_columns(self) -> list[str]:
        """The columns that distinguish values."""
        return unique_names(*self.panel, self.x, self.hue or "arm")

    @property
    def shows_one_seed(self) -> bool:
        """Whether the figure shows one seed of each arm instead of a mean."""
        return self.seeds == "first"

    def draw(self, records: Records) -> MplFigure:
        """Draw the groups; see `runner.figures.figure.Figure.draw`."""
        rows = select_rows(self, records)
        hue = self.hue or "arm"
        x = self.x or hue
        styles, hue_levels, categories = (
            records.hue_styles(rows, hue),
            levels(rows, hue),
            levels(rows, x),
        )
        n_bars = 1 if x == hue else len(hue_levels)
        inches = min(14.0, max(7.0, 1.6 + len(categories) * (0.34 * n_bars + 0.35)))
        figure, panels = make_panels(
            rows,
            self.panel,
            title=self.title,
            size=(inches, 4.4),
            notes=seed_notes(self, records, rows),
        )
        seeds = required_seeds(self, records)
        width = 0.8 / n_bars
        for panel in panels:
            for i, category in enumerate(categories):
                for j, level in enumerate(hue_levels):
                    if x == hue and level != category:
                        continue
                    chosen = panel.rows[(panel.rows[x] == category) & (panel.rows[hue] == level)]
                    centre = i if x == hue else i + (j - (n_bars - 1) / 2) * width
                    if chosen["value"].notna().any():
                        colour = styles.colour(level)
                        self._draw_bar(panel.axes, chosen, centre, width, colour, seeds)
            if self.from_zero and not panel.rows["value"].any():
                panel.axes.set_ylim(0, 1)  # matplotlib would show +-0.05
            canvas.set_log_axes(panel.axes, self.log)
            label = self.reference_label if panel is panels[0] else ""
            canvas.add_reference_line(panel.axes, self.reference, label)
            panel.axes.grid(visible=False, axis="x")
            note = ticks.set_tick_names(
                panel.axes.xaxis,
                [str(category) for category in categories],
                axes_inches(figure, panels)[0] * 1.13,
                max_names=len(categories),
                rotation=30,
            )
            if not ticks.are_names(categories):
                note = ""  # a reader can count on from the numbers at the ticks
        if x != hue:
            canvas.add_legend(figure, styles, hue_levels, hue, patches=True)
        label = self.x_label if self.x_label is not None else ("" if x == "arm" else x)
        label = ticks.append_to_label(label, note)
        canvas.set_axis_labels(
            figure, panels, label, self.y_label or self.value_label(records, rows)
        )
        return figure

    def _draw_bar(
        self,
        axes: Axes,
        rows: pd.DataFrame,
        centre: float,
        width: float,
        colour: str,
        seeds: SeedsByArm | None,
    ) -> None:
        """Draw the dots of seeds and, if no seed is missing, the mean with its interval.

        A mean with clipped values among its seeds is hatched or dotted.
        """
        band = mean_bands(rows.assign(all=0), ["all"], seeds=seeds).iloc[0]
        clipped = rows["clipped"].any()
        if self.from_zero:
            height = band["mean"] if np.isfinite(band["mean"]) else 0.0
            hatch = "////" if clipped else None
            axes.bar(centre, height, width * 0.88, color=colour, alpha=0.55, hatch=hatch, zorder=2)
        # Steps of the golden ratio spread any number of dots evenly, not in the order of seeds.
        jitter = (np.arange(1, len(rows) + 1) * 0.6180339887 % 1 - 0.5) * width * 0.5
        canvas.draw_dots(axes, rows.assign(_x=centre + jitter), "_x", colour, size=14)
        if not self.from_zero:
            axes.plot(
                [centre - width * 0.3, centre + width * 0.3],
                [band["mean"]] * 2,
                color=colour,
                linewidth=2.5,
                linestyle=":" if clipped else "-",
            )
        if np.isfinite(band["low"]):
            error = [[band["mean"] - band["low"]], [band["high"] - band["mean"]]]
            axes.errorbar(
                centre, band["mean"], error, color="#222222", capsize=3, linewidth=1.3, zorder=4
            )
