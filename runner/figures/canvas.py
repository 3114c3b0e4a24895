"""Fonts, colours, axes, legends and reference lines of all figures.

Pictures are plain `Figure` objects of matplotlib, without pyplot and its global state. So any
number of threads may draw.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from runner.figures.mpl import Axes, MplFigure, import_matplotlib
from runner.figures.panels import TITLE_SIZE, Panel
from runner.figures.texts import CHARACTER_WIDTH, FONTS, drawable_text, level_texts, text_width

LineStyle = Literal["-", "--", ":", "-."]

# Okabe & Ito, "Color Universal Design" (2008): distinct with every common colour blindness. The
# yellow is darker than theirs, since a thin yellow line vanishes on white paper.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#A89F00")
MILLION = 1e6
LEGEND_SIZE = 12.0  # points
LINES: tuple[LineStyle, ...] = ("-", "--", ":", "-.")
STYLE: dict[str, Any] = {
    "font.family": list(FONTS),
    "font.size": 12,
    "text.parse_math": False,  # an arm may be called a$b
    "axes.titlesize": TITLE_SIZE,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "figure.facecolor": "white",
    "legend.frameon": False,
    "svg.fonttype": "path",  # glyphs travel with the file: a reader needs no Japanese font
}


@contextmanager
def style() -> Iterator[None]:
    """Set the fonts and colours for drawing and saving a figure; restore the caller's settings.

    The user's own settings of matplotlib (LaTeX, sizes, fonts) have no effect inside. All drawing
    happens inside, so this function imports matplotlib first.
    """
    import_matplotlib()
    import matplotlib as mpl

    with mpl.rc_context():
        # Its import registers IPAexGothic and changes rcParams.
        import matplotlib_fontja  # noqa: F401

        mpl.rcdefaults()
        _allow_bold("IPAexGothic")
        mpl.rcParams.update(STYLE)  # type: ignore[arg-type]
        yield


def _allow_bold(family: str) -> None:
    """Use the font's only weight for bold, too; otherwise matplotlib logs a warning per label."""
    from matplotlib.font_manager import fontManager

    entries = [entry for entry in fontManager.ttflist if entry.name == family]
    if not any(entry.weight == 700 for entry in entries):
        fontManager.ttflist += [replace(entry, weight=700) for entry in entries]


@dataclass(frozen=True)
class HueStyles:
    """A colour and a line style per level of the hue; an arm has the same ones in every figure."""

    levels: list[Any]

    def colour(self, level: Any) -> str:
        """Return the level's colour."""
        return PALETTE[self.levels.index(level) % len(PALETTE)]

    def line_style(self, level: Any) -> LineStyle:
        """Return the level's line style: after eight levels, colours repeat with another style."""
        return LINES[self.levels.index(level) // len(PALETTE) % len(LINES)]


def set_axis_labels(figure: MplFigure, panels: list[Panel], x: str, y: str) -> None:
    """Label x below the lowest panels and y once at the left; shorten large tick numbers."""
    x, y = drawable_text(x), drawable_text(y)
    for panel in panels:
        for axis, limits in (
            (panel.axes.xaxis, panel.axes.get_xlim()),
            (panel.axes.yaxis, panel.axes.get_ylim()),
        ):
            if axis.get_scale() == "linear" and max(map(abs, limits)) >= MILLION:
                set_tick_format(axis, short_number)
        if panel.at_bottom:
            panel.axes.set_xlabel(x)
    if len(panels) == 1:
        panels[0].axes.set_ylabel(y)
    else:
        figure.supylabel(y, fontsize=12)


def set_log_axes(axes: Axes, log: str) -> None:
    """Make the axes of `log` (none, x, y, both) logarithmic, with plain numbers at the ticks."""
    if log in ("x", "both"):
        axes.set_xscale("log")
        # Fewer than on y: labels are side by side.
        _log_ticks(axes.xaxis, axes.get_xlim(), (1.0, 2.0, 3.0, 5.0))
    if log in ("y", "both"):
        axes.set_yscale("log")
        _log_ticks(axes.yaxis, axes.get_ylim(), (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0))


def _log_ticks(axis: Any, limits: tuple[float, float], within_decade: tuple[float, ...]) -> None:
    """Set ticks by the range: even below a factor of 2, at round numbers, at decades above 1000."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    ratio = max(limits) / min(limits)
    subs = within_decade if ratio < 10 else (1.0, 2.0, 5.0) if ratio < 1e3 else (1.0,)
    axis.set_major_locator(MaxNLocator(5) if ratio < 2 else LogLocator(10, subs=subs))
    axis.set_minor_locator(NullLocator())
    set_tick_format(axis, short_number)


def set_tick_format(axis: Any, text: Callable[[float], str]) -> None:
    """Set the function that writes the numbers of an axis's ticks."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


def short_number(value: float) -> str:
    """Return the text of a tick: 20,000 and 0.05 in full, 134,000,000 as 134 M."""
    for size, letter in ((1000 * MILLION, "G"), (MILLION, "M")):
        if abs(value) >= size:
            return f"{value / size:,.4g} {letter}"
    return f"{value:,.7g}"


def draw_dots(
    axes: Axes, rows: pd.DataFrame, x: str, colour: str, *, size: float, alpha: float = 1.0
) -> None:
    """Draw a dot for each value over the column `x`: filled, or hollow where it is `clipped`."""
    for hollow in (False, True):
        chosen = rows[rows["clipped"] == hollow]
        if chosen["value"].notna().any():
            axes.scatter(
                chosen[x],
                chosen["value"],
                s=1.6 * size if hollow else size,
                facecolor="none" if hollow else colour,
                edgecolor=colour if hollow else "white",
                linewidth=1.1 if hollow else 0.4,
                alpha=1.0 if hollow else alpha,
                zorder=3,
            )


def add_legend(
    figure: MplFigure,
    styles: HueStyles,
    shown_levels: list[Any],
    hue: str,
    *,
    patches: bool = False,
) -> None:
    """Add a legend below all panels, of lines or, with `patches`, of squares."""
    from matplotlib.lines import Line2D

    texts = level_texts(hue, shown_levels)
    handles = [
        Line2D(
            [],
            [],
            color=styles.colour(level),
            linestyle="none" if patches else styles.line_style(level),
            marker="s" if patches else None,
            markersize=10,
            linewidth=2.5,
            label=texts[level],
        )
        for level in shown_levels
    ]
    widest = (
        max(text_width(text) for text in texts.values()) * CHARACTER_WIDTH * LEGEND_SIZE + 40
    )  # points
    fitting = int(figure.get_figwidth() * 72 / widest)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=max(1, min(len(handles), 4, fitting)),
        fontsize=LEGEND_SIZE,
    )


def add_reference_line(axes: Axes, value: float | None, label: str) -> None:
    """Draw a dashed line at a value, with its label inside the axes above the line."""
    if value is None:
        return
    axes.axhline(value, color="#444444", linestyle=(0, (5, 3)), linewidth=1.2, zorder=1)
    if label:
        axes.annotate(
            drawable_text(label),
            (0.01, value),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=10.5,
            color="#333333",
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
            zorder=5,
        )
