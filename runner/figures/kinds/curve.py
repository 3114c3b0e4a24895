"""`kind: curve`: means over seeds as lines over training steps, from the history."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from runner.figures import canvas
from runner.figures.canvas import HueStyles
from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import MetricFigure, unique_names
from runner.figures.labels import label_line_ends
from runner.figures.mpl import Axes, MplFigure
from runner.figures.notes import seed_notes
from runner.figures.panels import make_panels
from runner.figures.rows import required_seeds, same_at_every_seed, select_rows
from runner.figures.templates import levels
from runner.figures.texts import level_texts
from runner.stats.bands import SeedsByArm, mean_bands, select_seeds

ENDS = "a cross marks where a diverged trial ended"
REPLACED = "tables use a diverged trial's value before training or a declared worst value"
MAX_MARKED = 12  # with at most this number of x values, each has a whisker and dots


@dataclass(frozen=True, kw_only=True)
class Curve(MetricFigure):
    """A line per level of the hue: the mean with its 95 % band, and each seed as a thin line.

    hue        the column whose levels have colours; by default arm
    reference  a value of y with a dashed line, next to which `reference_label` is written
    """

    kind: ClassVar[str] = "curve"
    allows_step_axis: ClassVar[bool] = True

    hue: str | None = None
    reference: float | None = None
    reference_label: str = ""

    @property
    def x_column(self) -> str:
        """The column of the x axis."""
        return "step"

    @property
    def group_columns(self) -> list[str]:
        """The columns that distinguish values."""
        return unique_names(*self.panel, self.x_column, self.hue or "arm")

    def draw(self, records: Records) -> MplFigure:
        """Draw the lines; see `runner.figures.figure.Figure.draw`."""
        rows, x, hue = select_rows(self, records), self.x_column, self.hue or "arm"
        if not pd.api.types.is_numeric_dtype(rows[x]):
            source = self.source_table or self.metric
            raise CannotDrawError(f"x={x!r} of {source!r} must be numbers to draw lines")
        ends = self._diverged_ends(rows, records)
        notes = [*seed_notes(self, records, rows), *([ENDS] if len(ends) else [])]
        if len(ends) and records.is_clipped(rows.loc[ends]).any():
            notes.append(REPLACED)
        figure, panels = make_panels(
            rows, self.panel, title=self.title, size=(7.6, 4.6), notes=notes
        )
        styles, seeds = records.hue_styles(rows, hue), required_seeds(self, records)
        is_marked = self.has_dots and rows[x].nunique() <= MAX_MARKED
        for panel in panels:
            for level in levels(panel.rows, hue):
                chosen = panel.rows[panel.rows[hue] == level]
                _draw_line(panel.axes, chosen, x, level, styles, seeds, marked=is_marked)
                ended = chosen.loc[chosen.index.intersection(ends)]
                if len(ended):
                    colour = styles.colour(level)
                    panel.axes.scatter(
                        ended[x], ended["value"], s=34, marker="x", color=colour, zorder=4
                    )
            panel.axes.margins(x=0.03 if is_marked else 0.015)
            canvas.set_log_axes(panel.axes, self.log)
            if is_marked and self.log in ("x", "both"):
                x_values = levels(rows, x)
                panel.axes.set_xticks(x_values, [f"{value:,.7g}" for value in x_values])
            label = self.reference_label if panel is panels[0] else ""
            canvas.add_reference_line(panel.axes, self.reference, label)
        if len(panels) == 1:
            line_ends = _line_ends(rows, x, hue, styles, seeds)
            label_line_ends(panels[0].axes, line_ends, height=figure.get_figheight() * 0.75)
        else:
            canvas.add_legend(figure, styles, levels(rows, hue), hue)
        x_label = self.x_label or ("training step" if self.allows_step_axis else x)
        canvas.set_axis_labels(
            figure, panels, x_label, self.y_label or self.value_label(records, rows)
        )
        return figure

    def _diverged_ends(self, rows: pd.DataFrame, records: Records) -> pd.Index:
        """Return the rows where curves of diverged trials end; none if the figure has no steps."""
        if "step" not in self.group_columns:
            return pd.Index([])
        finite = select_seeds(rows[rows["value"].notna()], records.diverged_seeds).sort_values(
            "step"
        )
        per_curve = list(
            dict.fromkeys(["arm", "seed", *(c for c in self.group_columns if c != "step")])
        )
        return finite.drop_duplicates(per_curve, keep="last").index


def _mean(rows: pd.DataFrame, x: str, seeds: SeedsByArm | None) -> pd.DataFrame:
    """Return the means along x up to the last one; NaN breaks the line."""
    band = mean_bands(rows, [x], seeds=seeds).sort_values(x, ignore_index=True)
    last = band["mean"].last_valid_index()
    return band.iloc[: 0 if last is None else int(str(last)) + 1]


def _draw_line(
    axes: Axes,
    rows: pd.DataFrame,
    x: str,
    level: object,
    styles: HueStyles,
    seeds: SeedsByArm | None,
    *,
    marked: bool,
) -> None:
    """Draw the seeds as thin lines or dots, then the mean with its band or whiskers.

    If all seeds have the same numbers, draw only one line.
    """
    colour = styles.colour(level)
    band = _mean(rows, x, seeds)
    has_spread = len(band) < rows[x].nunique() or band["mean"].isna().any()
    has_spread = has_spread or not same_at_every_seed(rows, [x]) or rows["clipped"].any()
    if has_spread and marked:
        canvas.draw_dots(axes, rows, x, colour, size=12, alpha=0.45)
        half = (band["high"] - band["mean"]).fillna(0)
        axes.errorbar(
            band[x], band["mean"], half, fmt="none", ecolor=colour, capsize=3.5, linewidth=1.3
        )
    elif has_spread:
        for _, thin in rows.groupby(["arm", "seed"], sort=False):
            thin = thin.sort_values(x)
            axes.plot(thin[x], thin["value"], color=colour, alpha=0.28, linewidth=0.7)
        canvas.draw_dots(axes, rows[rows["clipped"]], x, colour, size=12)
        axes.fill_between(band[x], band["low"], band["high"], color=colour, alpha=0.16, linewidth=0)
    axes.plot(
        band[x],
        band["mean"],
        color=colour,
        linestyle=styles.line_style(level),
        linewidth=2,
        marker="o" if marked else None,
        markersize=5,
    )


def _line_ends(
    rows: pd.DataFrame, x: str, hue: str, styles: HueStyles, seeds: SeedsByArm | None
) -> list[tuple[str, str, float, float]]:
    """Return the label and the end of each line; without a mean, the end of a seed's line."""
    ends, texts = [], level_texts(hue, levels(rows, hue))
    for level, text in texts.items():
        level_rows = rows[(rows[hue] == level) & rows["value"].notna()].sort_values(x)
        band = _mean(rows[rows[hue] == level], x, seeds)
        if len(level_rows):
            last = (level_rows[x], level_rows["value"]) if band.empty else (band[x], band["mean"])
            end_x, end_y = (float(values.iloc[-1]) for values in last)
            ends.append((text, styles.colour(level), end_x, end_y))
    return ends
