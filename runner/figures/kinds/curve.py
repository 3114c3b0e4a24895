"""`kind: curve`: means over seeds as lines over training steps, from the history."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from runner.figures import canvas
from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import MetricFigure, unique_names
from runner.figures.labels import Label, label_line_ends
from runner.figures.limits import cut_low, limit_y, limited_bands
from runner.figures.mpl import Axes
from runner.figures.notes import seed_notes
from runner.figures.panels import select_panel
from runner.figures.rows import required_seeds, same_at_every_seed, select_rows
from runner.figures.sentences import describe, hover_text, source_words
from runner.figures.sheet import MAX_POINTS, Sheet, make_sheet
from runner.figures.styles import HueStyles, add_legend
from runner.figures.templates import levels
from runner.figures.texts import level_text, level_texts
from runner.figures.tick_numbers import linear_notes, set_log_axes, usable_log
from runner.stats.bands import select_seeds

ENDS = "a cross marks where a diverged trial ended"
REPLACED = "tables use a diverged trial's value before training or a declared worst value"
MAX_MARKED = 12  # with at most this number of x values, each has dots
MARKED_STEPS = 7  # markers along a line of more x values
SEED_ALPHA, MANY_SEEDS = 0.28, 16  # thin lines of more seeds are paler, so that means stay visible
HEIGHTS = (4.2, 2.6)  # inches of the panels of one row, and of several


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
    def has_bands(self) -> bool:
        """Whether an interval is a band, also where each x value has dots."""
        return False

    @property
    def group_columns(self) -> list[str]:
        """The columns that distinguish values."""
        return unique_names(*self.panel, self.x_column, self.hue or "arm")

    def draw(self, records: Records) -> Sheet:
        """Draw the lines; see `runner.figures.figure.Figure.draw`."""
        rows, x, hue = select_rows(self, records), self.x_column, self.hue or "arm"
        if not pd.api.types.is_numeric_dtype(rows[x]):
            source = self.source_table or self.metric
            raise CannotDrawError(f"x={x!r} of {source!r} must be numbers to draw lines")
        ends = self._diverged_ends(rows, records)
        notes = [*seed_notes(self, records, rows), *([ENDS] if len(ends) else [])]
        if len(ends) and records.is_clipped(rows.loc[ends]).any():
            notes.append(REPLACED)
        log = usable_log(self.log, rows["value"], rows[x])
        # All means at once: grouping line by line would take most of the time of a figure.
        bands = limited_bands(records, rows, self.group_columns, required_seeds(self, records))
        bands = bands.sort_values(x, ignore_index=True)
        sheet = make_sheet(
            rows,
            self.panel,
            title=self.title,
            heights=HEIGHTS,
            notes=notes + linear_notes(self.log, log),
            share_x=_similar_ranges(rows, self.panel, x),
        )
        styles = records.hue_styles(rows, hue)
        is_marked = self.has_dots and rows[x].nunique() <= MAX_MARKED
        every = -(-len(bands) // MAX_POINTS) or 1
        possible, is_log = records.limits(rows), log in ("y", "both")
        limit_y(sheet.panels[0].axes, rows, bands, is_log, self.reference, possible)  # all share it
        for panel in sheet.panels:
            mine = select_panel(bands, self.panel, panel.key)
            for level in styles.in_order(levels(panel.rows, hue)):
                chosen = panel.rows[panel.rows[hue] == level]
                band = _up_to_last_mean(mine[mine[hue] == level])
                marks = {"marked": is_marked, "banded": self.has_bands or not is_marked}
                _draw_line(panel.axes, chosen, x, band, level, styles, **marks)
                known = band[band["mean"].notna()]
                for mean in known.iloc[::-every].to_dict("records"):  # the last mean is among them
                    names = [level_text(hue, level), *_texts(self.panel, panel.key)]
                    text = hover_text([*names, f"{x} {mean[x]:,.7g}"], mean)
                    sheet.add_hover(panel.axes, mean[x], mean["mean"], text)
                ended = chosen.loc[chosen.index.intersection(ends)]
                if len(ended):
                    colour = styles.colour(level)
                    panel.axes.scatter(
                        ended[x], ended["value"], s=34, marker="x", color=colour, zorder=4
                    )
            panel.axes.margins(x=0.03 if is_marked else 0.015)
            set_log_axes(panel.axes, log)
            if pd.api.types.is_integer_dtype(rows[x]) and log not in ("x", "both"):
                panel.axes.locator_params(axis="x", integer=True)
            if is_marked and log in ("x", "both"):
                x_values = levels(rows, x)
                panel.axes.set_xticks(x_values, [f"{value:,.7g}" for value in x_values])
            label = self.reference_label if panel is sheet.panels[0] else ""
            canvas.add_reference_line(panel.axes, self.reference, label)
        if len(sheet.panels) == 1:
            line_ends = _line_ends(rows, x, hue, styles, bands)
            label_line_ends(sheet.panels[0].axes, line_ends, height=sheet.heights[0])
        else:
            add_legend(sheet.figure, styles, levels(rows, hue), hue)
        x_label = self.x_label or ("training step" if self.allows_step_axis else x)
        y_label = self.y_label or self.value_label(records, rows)
        sheet.label_axes(x_label, y_label)
        sheet.alt = self._sentence(records, rows, bands, x_label, y_label)
        return sheet

    def _sentence(
        self, records: Records, rows: pd.DataFrame, bands: pd.DataFrame, x_label: str, label: str
    ) -> str:
        """Return the values of the last x as a sentence."""
        last = bands[bands[self.x_column] == bands[self.x_column].max()]
        columns = unique_names(self.hue or "arm", *self.panel)
        values = [
            (", ".join(_texts(columns, [one[c] for c in columns])), float(one["mean"]))
            for one in last.to_dict("records")
        ]
        where = f"at {x_label} {bands[self.x_column].max():,.7g}"
        return describe([self.title, label], where, values, source_words(self, records, rows))

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


def _texts(columns: list[str], key: Any) -> list[str]:
    return [level_text(column, level) for column, level in zip(columns, key, strict=True)]


def _similar_ranges(rows: pd.DataFrame, by: list[str], x: str) -> bool:
    """Return whether the panels' ranges of x are so similar that they can share an axis."""
    if not by:
        return True
    ends = rows.groupby(by, observed=True)[x].agg(["min", "max"])
    spans = ends["max"] - ends["min"]
    return bool(spans.min() * 1.5 >= spans.max())


def _up_to_last_mean(band: pd.DataFrame) -> pd.DataFrame:
    """Return the means of a line up to the last one; NaN between them breaks the line."""
    known = np.flatnonzero(band["mean"].notna())
    return band.iloc[: known[-1] + 1 if len(known) else 0]


def _draw_line(
    axes: Axes,
    rows: pd.DataFrame,
    x: str,
    band: pd.DataFrame,
    level: object,
    styles: HueStyles,
    *,
    marked: bool,
    banded: bool,
) -> None:
    """Draw the seeds as dots (`marked`) or thin lines, then the mean with its interval.

    The interval is a band (`banded`), or whiskers, also for one x value. If all seeds have the
    same numbers, draw only one line.
    """
    colour, is_apart = styles.colour(level), level in styles.apart
    has_spread = len(band) < rows[x].nunique() or band["mean"].isna().any()
    # A visible interval settles it; comparing the seeds takes longer.
    has_spread = has_spread or (band["high"] - band["low"] > 1e-6 * band["mean"].abs()).any()
    has_spread = has_spread or not same_at_every_seed(rows, [x]) or rows["clipped"].any()
    if has_spread and marked:
        canvas.draw_dots(axes, rows, x, colour, size=12, alpha=0.45)
    elif has_spread:
        # One line with gaps between the seeds is drawn faster than a line for each seed.
        thin = rows.sort_values(["arm", "seed", x])
        new = thin.duplicated(["arm", "seed"]).to_numpy()
        starts = np.flatnonzero(~new)[1:]
        axes.plot(
            np.insert(thin[x].to_numpy(float), starts, np.nan),
            np.insert(thin["value"].to_numpy(float), starts, np.nan),
            color=colour,
            alpha=SEED_ALPHA * min(1.0, MANY_SEEDS / (1 + len(starts))),
            linewidth=0.7,
        )
        canvas.draw_dots(axes, rows[rows["clipped"]], x, colour, size=12)
    if has_spread and banded and len(band) > 1:
        axes.fill_between(
            band[x],
            cut_low(band["low"], axes),
            band["high"],
            color=colour,
            alpha=0.08 if is_apart else 0.16,
            linewidth=0,
        )
    elif has_spread:
        below = (band["mean"] - cut_low(band["low"], axes)).fillna(0).clip(lower=0)
        above = (band["high"] - band["mean"]).fillna(0)
        axes.errorbar(
            band[x],
            band["mean"],
            [below, above],
            fmt="none",
            ecolor=colour,
            capsize=3.5,
            linewidth=1.3,
        )
    # Markers tell lines apart without colour; arms have them at different places of a long line.
    gap = max(1, len(band) // MARKED_STEPS)
    start = styles.levels.index(level) * gap // max(1, len(styles.levels))
    axes.plot(
        band[x],
        band["mean"],
        color=colour,
        linestyle=styles.line_style(level),
        linewidth=2,
        marker=styles.marker(level),
        markevery=None if marked else (start, gap),
        markersize=5.5,
        markerfacecolor=styles.marker_face(level),
        alpha=0.75 if is_apart else 1.0,
    )


def _line_ends(
    rows: pd.DataFrame, x: str, hue: str, styles: HueStyles, bands: pd.DataFrame
) -> list[Label]:
    """Return the label and the end of each line; without a mean, the end of a seed's line."""
    ends, texts = [], level_texts(hue, levels(rows, hue))
    for level, text in texts.items():
        level_rows = rows[(rows[hue] == level) & rows["value"].notna()].sort_values(x)
        band = _up_to_last_mean(bands[bands[hue] == level])
        if len(level_rows):
            last = (level_rows[x], level_rows["value"]) if band.empty else (band[x], band["mean"])
            end_x, end_y = (float(values.iloc[-1]) for values in last)
            ends.append((text, styles.ink(level), end_x, end_y))
    return ends
