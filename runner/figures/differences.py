"""The first figure of a report: the difference of each arm from its baseline, with its noise.

It has a block per headline metric, with an axis of its own. The report computes the rows
(`runner.report.difference_figure`), so the figure is not read from YAML.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from runner.figures.canvas import TEXT_SIZE, TICK_SIZE
from runner.figures.data import CannotDrawError, Records
from runner.figures.difference_rows import DifferenceBlock, DifferenceRow
from runner.figures.figure import Figure
from runner.figures.mpl import Axes
from runner.figures.panels import Panel
from runner.figures.sentences import MAX_WORDS, hover_text
from runner.figures.sheet import Sheet, start_sheet
from runner.figures.styles import HueStyles
from runner.figures.texts import distinct_texts, drawable_text
from runner.figures.tick_numbers import shorten_tick_numbers
from runner.wording import quantity

ROW = 0.27  # inches of a row
DETECTABLE: dict[str, Any] = {
    "color": "#8A8F98",
    "linestyle": "none",
    "marker": "|",
    "markersize": 9,
    "markeredgewidth": 1.3,
    "zorder": 1,
}
BAND = "#C9CCD1"  # the difference of an A/A pair


@dataclass(frozen=True, kw_only=True)
class Differences(Figure):
    """A forest plot of a study: a point with its interval per arm, in a block per headline."""

    kind: ClassVar[str] = "differences"

    blocks: tuple[DifferenceBlock, ...]

    def __post_init__(self) -> None:
        """Check nothing: no key comes from YAML."""

    def draw(self, records: Records) -> Sheet:
        """Draw the blocks; see `runner.figures.figure.Figure.draw`."""
        blocks = [b for b in self.blocks if any(math.isfinite(row.mean) for row in b.rows)]
        if not blocks:
            raise CannotDrawError("no headline metric has a value")
        heights = [ROW * (len(block.rows) + 0.6 + 0.4 * bool(block.aa_rows)) for block in blocks]
        sheet = start_sheet(self.title, [], heights)
        styles = HueStyles(records.arms, records.apart)
        for i, block in enumerate(blocks):
            axes = sheet.figure.add_axes((0.2, 0.1, 0.4, 0.8), label=str(i))
            _draw_block(axes, block, styles)
            for row, y in zip(block.rows, _places(block.rows), strict=True):
                if math.isfinite(row.mean):
                    band = {"mean": row.mean, "low": row.low, "high": row.high, "n": row.n}
                    text = hover_text([block.label, row.name], band)
                    sheet.add_hover(axes, row.mean, y, text)
            sheet.panels.append(Panel(axes, records.results.iloc[:0], (i,), i, 0, True))
        _add_key(sheet, blocks)
        sheet.alt = _sentence(blocks)
        return sheet


def _places(rows: Sequence[DifferenceRow]) -> list[float]:
    """Return the y of each row from above; A/A pairs are below a gap."""
    return [i + 0.5 * row.is_apart for i, row in enumerate(rows)]


def _draw_block(axes: Axes, block: DifferenceBlock, styles: HueStyles) -> None:
    places = _places(block.rows)
    low, high = _limits(block)
    axes.set_xlim(low, high)
    shorten_tick_numbers(axes)
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    names = distinct_texts([row.name for row in block.rows], 34)
    axes.set_yticks(places, names, fontsize=TEXT_SIZE)
    axes.tick_params(axis="y", length=0)
    # A band over all rows shows the noise of the study: the difference of two equal arms.
    for row in block.aa_rows:
        axes.axvspan(row.low, row.high, color=BAND, alpha=0.55, linewidth=0, zorder=0)
    if block.baseline:
        axes.axvline(0, color="#333333", linewidth=1.2, zorder=1)
    for row, place, label in zip(block.rows, places, axes.get_yticklabels(), strict=True):
        _draw_row(axes, row, place, styles)
        label.set_color("#6B6F76" if row.is_apart else styles.ink(row.arm))
        if not row.is_apart:
            label.set_fontweight("bold")
    if any(row.is_apart for row in block.rows) and not all(row.is_apart for row in block.rows):
        first = next(y for row, y in zip(block.rows, places, strict=True) if row.is_apart)
        axes.axhline(first - 0.75, color="#999999", linewidth=0.8)
    word, _, rest = block.label.partition(" ")
    title = drawable_text(f"{word.capitalize() if word.islower() else word} {rest}".strip())
    has_sides = bool(block.baseline) and block.direction != "none"
    axes.set_title(title, fontweight="bold", pad=20 if has_sides else 6)
    axes.set_xlabel(drawable_text(block.axis))
    if has_sides:
        _mark_sides(axes, block.direction)


def _limits(block: DifferenceBlock) -> tuple[float, float]:
    """Return the limits of x: all points, intervals, and detectable differences near them."""
    if not block.baseline and all(map(math.isfinite, block.possible)):
        margin = 0.03 * (block.possible[1] - block.possible[0])
        return block.possible[0] - margin, block.possible[1] + margin
    ends = [0.0]  # zero tells how large a value or a difference is
    for row in block.rows:
        ends += [x for x in (row.mean, row.low, row.high) if math.isfinite(x)]
    spread = max(map(abs, ends)) or 1.0
    for row in block.rows:
        if math.isfinite(row.detectable) and row.detectable <= 3 * spread:
            ends += [-row.detectable, row.detectable]
    low, high = min(ends), max(ends)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _draw_row(axes: Axes, row: DifferenceRow, y: float, styles: HueStyles) -> None:
    colour = "#6B6F76" if row.is_apart else styles.colour(row.arm)
    if math.isfinite(row.detectable):
        # A short line at each side of zero: smaller differences are easily missed.
        axes.plot([-row.detectable, row.detectable], [y, y], **DETECTABLE)
    if math.isfinite(row.low):
        line = ":" if row.is_apart else "-"
        axes.plot(
            [row.low, row.high], [y, y], color=colour, linewidth=2.4, linestyle=line, zorder=3
        )
    if math.isfinite(row.mean):
        face = "white" if row.is_apart else colour
        axes.plot(
            [row.mean],
            [y],
            marker=styles.marker(row.arm),
            markersize=8,
            color=colour,
            markerfacecolor=face,
            zorder=4,
        )
    axes.annotate(
        drawable_text(row.text),
        (1.0, y),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=TICK_SIZE,
        color="#6B6F76" if row.is_apart else "#1D1F23",
        annotation_clip=False,
    )


def _mark_sides(axes: Axes, direction: str) -> None:
    """Write on which side of zero arms are better."""
    left, right = ("better", "worse") if direction == "less" else ("worse", "better")
    options: dict[str, Any] = {
        "xycoords": ("data", "axes fraction"),
        "textcoords": "offset points",
        "fontsize": TICK_SIZE,
        "color": "#333333",
        "va": "bottom",
        "annotation_clip": False,
    }
    axes.annotate(f"← {left}", (0, 1), xytext=(-6, 4), ha="right", **options)
    axes.annotate(f"{right} →", (0, 1), xytext=(6, 4), ha="left", **options)


def _add_key(sheet: Sheet, blocks: Sequence[DifferenceBlock]) -> None:
    """Add a legend of the signs that occur: interval, detectable difference, A/A pair."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    rows = [row for block in blocks for row in block.rows]
    handles: list[Any] = []
    if any(math.isfinite(row.low) for row in rows):
        line: dict[str, Any] = {"color": "#333333", "linewidth": 2.4, "marker": "o"}
        handles.append(Line2D([], [], **line, label="mean with its 95 % interval"))
    if any(math.isfinite(row.detectable) for row in rows):
        label = "smallest detectable difference"
        handles.append(Line2D([], [], label=label, **DETECTABLE))
    aa_names = dict.fromkeys(row.arm for block in blocks for row in block.aa_rows)
    if aa_names:
        label = "interval of the A/A pair"
        handles.append(Patch(facecolor=BAND, alpha=0.55, label=label))
    if handles:
        sheet.figure.legend(
            handles=handles,
            loc="lower center",
            ncols=len(handles),
            fontsize=TICK_SIZE,
            handlelength=2.2,
            columnspacing=1.6,
            borderaxespad=0,
            borderpad=0.1,
        )


def _sentence(blocks: Sequence[DifferenceBlock]) -> str:
    """Return the differences of the arms under study as a sentence of at most 60 words."""
    parts: list[str] = []
    for block in blocks:
        known = [row for row in block.rows if math.isfinite(row.mean) and not row.is_apart]
        known = sorted(known, key=lambda row: -abs(row.mean))[: max(1, 6 // len(blocks))]
        listed = ", ".join(f"{row.name} {_value(row, block)}" for row in known)
        against = f", difference from {block.baseline}" if block.baseline else ""
        part = f"{block.label}{against}: {listed}"
        for row in block.aa_rows[:1]:
            part += f" (A/A pair {_value(row, block)})"
        if parts and len(" ".join([*parts, part]).split()) > MAX_WORDS:
            break
        parts.append(part)
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _value(row: DifferenceRow, block: DifferenceBlock) -> str:
    return quantity.format_mean(
        row.mean, row.low, row.high, row.n, is_difference=bool(block.baseline)
    )
