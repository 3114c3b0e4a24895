"""`kind: bars`: final values per category and arm, on an axis from zero."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from runner.figures import canvas, ticks
from runner.figures.bar_groups import BarGroup
from runner.figures.data import Records
from runner.figures.figure import MetricFigure, unique_names
from runner.figures.limits import limited_bands
from runner.figures.mpl import Axes
from runner.figures.notes import seed_notes
from runner.figures.panels import Panel, select_panel
from runner.figures.ranks import rank_values
from runner.figures.rows import required_seeds, select_rows
from runner.figures.sentences import describe, hover_text, hover_value, source_words
from runner.figures.sheet import Sheet, make_sheet
from runner.figures.styles import add_legend
from runner.figures.templates import levels
from runner.figures.texts import level_text
from runner.figures.tick_numbers import linear_notes, set_log_axes, usable_log


@dataclass(frozen=True, kw_only=True)
class Bars(MetricFigure):
    """A group per x category, with a bar, its 95 % interval and the seeds' dots per level of hue.

    table      name of a table that trials record, whose rows are drawn
    x          a placeholder or column; by default, each level of the hue is a category
    hue        the column whose levels have colours; by default arm
    seeds      mean: over all seeds; first: the first seed of each arm, e.g. if heads differ by seed
    rank       whether x is the rank of the value among the levels of `x`, within each seed. For
               parts without a shared identity, such as experts: the busiest, the second, ...
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
    rank: bool = False
    reference: float | None = None
    reference_label: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank and not self.x:
            raise ValueError("rank=True needs x, the column whose levels are ranked")

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

    @property
    def ranks_parts(self) -> bool:
        """Whether parts without a shared identity are ranked within each seed."""
        return self.rank

    def draw(self, records: Records) -> Sheet:
        """Draw the groups; see `runner.figures.figure.Figure.draw`."""
        rows = select_rows(self, records)
        hue = self.hue or "arm"
        x = self.x or hue
        notes = seed_notes(self, records, rows)
        if self.rank:
            rows = rank_values(rows, x, self.group_columns)
        styles = records.hue_styles(rows, hue)
        hue_levels, categories = styles.in_order(levels(rows, hue)), levels(rows, x)
        if x == hue:
            categories = hue_levels
        n_bars = 1 if x == hue else len(hue_levels)
        by = unique_names(*self.panel, x, hue)
        bands = limited_bands(records, rows, by, required_seeds(self, records))
        log = usable_log(self.log, rows["value"])
        sheet = make_sheet(
            rows,
            self.panel,
            title=self.title,
            heights=(3.6, 2.4),
            least_width=max(2.6, len(categories) * (0.17 * n_bars + 0.12)),
            notes=[*notes, *linear_notes(self.log, log)],
        )
        width = 0.8 / n_bars
        for panel in sheet.panels:
            for j, level in enumerate(hue_levels):
                chosen = panel.rows[panel.rows[hue] == level]
                shift = 0.0 if x == hue else (j - (n_bars - 1) / 2) * width
                centres = {category: i + shift for i, category in enumerate(categories)}
                means = select_panel(bands, self.panel, panel.key)
                means = means[means[hue] == level]
                group = BarGroup(chosen, means, x, centres, width, level)
                group.draw(panel.axes, styles, from_zero=self.from_zero, marked=x != hue)
                self._add_hover(sheet, panel, group)
            set_log_axes(panel.axes, log)
            label = self.reference_label if panel is sheet.panels[0] else ""
            canvas.add_reference_line(panel.axes, self.reference, label)
            panel.axes.grid(visible=False, axis="x")
            if panel.at_bottom:
                ticks.set_tick_names(
                    panel.axes.xaxis, list(map(str, categories)), sheet.panel_width(), rotation=30
                )
            panel.axes.set_xlim(-0.6, len(categories) - 0.4)
        if log == "none":
            self._limit_y(sheet.panels[0].axes, records.limits(rows))  # all panels share it
        if x != hue:
            add_legend(sheet.figure, styles, hue_levels, hue)
        x_label = self.x_label if self.x_label is not None else ("" if x == "arm" else x)
        y_label = self.y_label or self.value_label(records, rows)
        sheet.label_axes(x_label, y_label)
        if self.rank:
            bands = bands[bands[x] == categories[0]]
        columns = [column for column in by if not (self.rank and column == x)]
        values = [
            (", ".join(level_text(c, one[c]) for c in columns), float(one["mean"]))
            for one in bands.to_dict("records")
        ]
        where = "(the highest of each seed)" if self.rank else ""
        source = source_words(self, records, rows)
        sheet.alt = describe([self.title, y_label], where, values, source)
        return sheet

    def _limit_y(self, axes: Axes, possible: tuple[float, float]) -> None:
        """Let y end at the possible values, with bars on the floor."""
        bottom, top = axes.get_ylim()
        margin = 0.02 * (top - bottom)
        floor = possible[0] - (0.0 if self.from_zero else margin)
        axes.set_ylim(max(bottom, floor), min(top, possible[1] + margin))

    def _add_hover(self, sheet: Sheet, panel: Panel, group: BarGroup) -> None:
        """Add the means to the values on hover; without a mean, the values of the seeds."""
        names = [level_text(self.hue or "arm", group.level)]
        names += [level_text(c, v) for c, v in zip(self.panel, panel.key, strict=True)]
        for one in group.means.to_dict("records"):
            category = one[group.x]
            texts = list(dict.fromkeys([*names, level_text(group.x, category)]))
            if np.isfinite(one["mean"]):
                text = hover_text(texts, one)
                sheet.add_hover(panel.axes, group.centres[category], one["mean"], text)
                continue
            seeds = group.rows[(group.rows[group.x] == category) & group.rows["value"].notna()]
            for value, seed in zip(seeds["value"], seeds["seed"], strict=True):
                text = hover_value([*texts, f"seed {seed}"], value)
                sheet.add_hover(panel.axes, group.centres[category], value, text)
