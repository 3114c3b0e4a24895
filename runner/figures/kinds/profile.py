"""`kind: profile`: several scores at once, each from 0 to 1, as small bars."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from runner.figures.canvas import TICK_SIZE
from runner.figures.data import CannotDrawError, Records
from runner.figures.figure import PanelFigure, unique_names
from runner.figures.mpl import Axes
from runner.figures.notes import seed_notes
from runner.figures.rows import select_first_trial
from runner.figures.sentences import describe, hover_value, source_words
from runner.figures.sheet import Sheet, make_sheet
from runner.figures.styles import HueStyles, add_legend
from runner.figures.templates import levels, select_arms_in_order
from runner.figures.texts import distinct_texts, level_text

TOLERANCE = 1e-6  # a score in float32 may lie outside 0..1 by this much


@dataclass(frozen=True, kw_only=True)
class Profile(PanelFigure):
    """A bar of the first seed per score and level of the hue in each panel.

    The range is fixed: scaled to the values, noise would fill the chart. A value outside 0..1 and
    a missing score raise CannotDrawError.

    axes  label -> metric template with values in 0..1
    hue   the column whose levels have colours
    """

    kind: ClassVar[str] = "profile"
    has_dots: ClassVar[bool] = True
    shows_one_trial: ClassVar[bool] = True

    axes: dict[str, str]
    hue: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_arms("panel: [arm] or hue: arm")
        if len(self.axes) < 2:
            raise ValueError(f"axes={list(self.axes)} must have at least two axes")
        for template in self.metrics:
            self.check_columns(template)

    @property
    def group_columns(self) -> list[str]:
        """The columns that distinguish values."""
        return unique_names(*self.panel, self.hue)

    @property
    def metrics(self) -> list[str]:
        """The metric or template of each axis."""
        return list(self.axes.values())

    def draw(self, records: Records) -> Sheet:
        """Draw the bars; see `runner.figures.figure.Figure.draw`."""
        rows = self._select_scores(records)
        hue_levels = levels(rows, self.hue) if self.hue else [None]
        styles = records.hue_styles(rows, self.hue) if self.hue else HueStyles([None])
        hue_levels = styles.in_order(hue_levels)
        scores = list(self.axes)
        height = len(scores) * (0.13 + 0.11 * len(hue_levels))
        sheet = make_sheet(
            rows,
            self.panel,
            title=self.title,
            heights=(height, height),
            least_width=1.8,
            notes=seed_notes(self, records, rows),
            wrap=True,
        )
        for panel in sheet.panels:
            names = [level_text(c, v) for c, v in zip(self.panel, panel.key, strict=True)]
            for j, level in enumerate(hue_levels):
                mine = panel.rows if level is None else panel.rows[panel.rows[self.hue] == level]
                values = mine.drop_duplicates("axis").set_index("axis").reindex(scores)
                width = 0.8 / len(hue_levels)
                places = np.arange(len(scores)) + (j - (len(hue_levels) - 1) / 2) * width
                _draw_scores(panel.axes, values, places, width, level, styles)
                for score, place, value in zip(scores, places, values["value"], strict=True):
                    labels = [*names, *([level_text(str(self.hue), level)] if self.hue else [])]
                    text = hover_value([*labels, score], value)
                    sheet.add_hover(panel.axes, value, place, text)
            panel.axes.set_xlim(0, 1)
            panel.axes.set_ylim(len(scores) - 0.5, -0.5)  # the first score is at the top
            panel.axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            panel.axes.set_yticks(range(len(scores)), distinct_texts(scores), fontsize=TICK_SIZE)
            panel.axes.tick_params(labelbottom=panel.at_bottom, labelleft=panel.at_left)
            panel.axes.grid(visible=False, axis="y")
        if self.hue:
            add_legend(sheet.figure, styles, hue_levels, self.hue)
        sheet.label_axes("score", "")
        means = rows.groupby([*unique_names(self.hue), "axis"], sort=False, observed=True)["value"]
        values = [(_name(self.hue, key), float(value)) for key, value in means.mean().items()]
        source = source_words(self, records, rows)
        sheet.alt = describe(
            [self.title], f"as means of {len(sheet.panels)} panels", values, source
        )
        return sheet

    def _select_scores(self, records: Records) -> pd.DataFrame:
        """Return a row per score and bar, of one trial or of one per arm."""
        axis_rows = [
            records.matching_rows(records.results, template, self.arms).assign(axis=label)
            for label, template in self.axes.items()
        ]
        rows = select_first_trial(
            select_arms_in_order(
                pd.concat(axis_rows, ignore_index=True), records.existing_arms(self.arms)
            ),
            self,
        )
        rows = rows.dropna(subset="value")
        rows = rows.sort_values(self.group_columns, kind="stable") if self.group_columns else rows
        outside = rows[(rows["value"] < -TOLERANCE) | (rows["value"] > 1 + TOLERANCE)]
        if len(outside):
            worst = outside.iloc[0]
            raise CannotDrawError(
                f"{worst['metric']} = {worst['value']:g} of {worst['arm']} is outside 0..1, the "
                f"fixed range of axis {worst['axis']!r}; record a score that is scaled to 0..1"
            )
        n_axes = (
            rows.groupby(self.group_columns)["axis"].nunique()
            if self.group_columns
            else [rows["axis"].nunique()]
        )
        if min(n_axes) < len(self.axes):
            raise CannotDrawError(
                f"the first seed has no value for one of the axes {list(self.axes)}; "
                "every combination of the placeholders needs all axes"
            )
        return rows


def _name(hue: str | None, key: object) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return " ".join(level_text(hue or "", part) for part in parts)


def _draw_scores(
    axes: Axes,
    values: pd.DataFrame,
    places: np.ndarray,
    width: float,
    level: object,
    styles: HueStyles,
) -> None:
    """Draw the bars of one level of the hue, each with a marker at its end."""
    colour = styles.colour(level)
    scores = values["value"].clip(0, 1).to_numpy(float)
    alpha = 0.3 if level in styles.apart else 0.55
    axes.barh(places, scores, width * 0.9, color=colour, alpha=alpha, zorder=2)
    hollow = values["clipped"].to_numpy(bool)
    for chosen, face in ((hollow, "white"), (~hollow, styles.marker_face(level))):
        if chosen.any():  # matplotlib takes the place of an empty line for the figure's corner
            axes.plot(
                scores[chosen],
                places[chosen],
                linestyle="none",
                marker=styles.marker(level),
                markersize=4.5,
                color=colour,
                markerfacecolor=face,
                clip_on=False,
                zorder=3,
            )
