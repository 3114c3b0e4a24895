"""`kind: bars`: final values per category and arm, from zero."""

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
    """A group per x category, a bar per level of the hue, its 95 % interval, a dot per seed.

    table      name of a table that trials keep, whose rows are drawn
    x          a placeholder or column; without it each level of the hue is a category
    hue        the column that gets a colour each; without it the arm
    seeds      mean: over all; first: only the first seed of each arm, where seeds share no identity
    reference  a value to compare with: a dashed line, beside which `reference_label` stands
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
        """The table that holds the values; None where metrics do."""
        return self.table

    @property
    def group_columns(self) -> list[str]:
        """The columns that tell values apart."""
        return unique_names(*self.panel, self.x, self.hue or "arm")

    @property
    def shows_one_seed(self) -> bool:
        """Whether the figure shows one seed of each arm, and no mean."""
        return self.seeds == "first"

    def draw(self, records: Records) -> MplFigure:
        """Draw the groups; `runner.figures.figure.Figure.draw` says more."""
        rows = select_rows(self, records)
        hue = self.hue or "arm"
        x = self.x or hue
        paint, shown, categories = records.hue_styles(rows, hue), levels(rows, hue), levels(rows, x)
        n_bars = 1 if x == hue else len(shown)
        inches = min(14.0, max(7.0, 1.6 + len(categories) * (0.34 * n_bars + 0.35)))
        figure, made = make_panels(
            rows,
            self.panel,
            title=self.title,
            size=(inches, 4.4),
            notes=seed_notes(self, records, rows),
        )
        seeds = required_seeds(self, records)
        width = 0.8 / n_bars
        for panel in made:
            for i, category in enumerate(categories):
                for j, level in enumerate(shown):
                    if x == hue and level != category:
                        continue
                    chosen = panel.rows[(panel.rows[x] == category) & (panel.rows[hue] == level)]
                    centre = i if x == hue else i + (j - (n_bars - 1) / 2) * width
                    if chosen["value"].notna().any():
                        colour = paint.colour(level)
                        self._one_bar(panel.axes, chosen, centre, width, colour, seeds)
            if self.from_zero and not panel.rows["value"].any():
                panel.axes.set_ylim(0, 1)  # matplotlib would show +-0.05
            canvas.set_log_axes(panel.axes, self.log)
            label = self.reference_label if panel is made[0] else ""
            canvas.add_reference_line(panel.axes, self.reference, label)
            panel.axes.grid(visible=False, axis="x")
            rest = ticks.set_tick_names(
                panel.axes.xaxis,
                [str(category) for category in categories],
                axes_inches(figure, made)[0] * 1.13,
                max_names=len(categories),
                rotation=30,
            )
            if not ticks.are_names(categories):
                rest = ""  # a reader counts on from a number
        if x != hue:
            canvas.add_legend(figure, paint, shown, hue, patches=True)
        label = self.x_label if self.x_label is not None else ("" if x == "arm" else x)
        label = ticks.append_to_label(label, rest)
        canvas.set_axis_labels(figure, made, label, self.y_label or self.value_label(records, rows))
        return figure

    def _one_bar(
        self,
        axes: Axes,
        rows: pd.DataFrame,
        centre: float,
        width: float,
        colour: str,
        seeds: SeedsByArm | None,
    ) -> None:
        """The dots of seeds; the mean with its interval, or neither where a seed is missing.

        A mean over values of which some are clipped is hatched or dashed.
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
