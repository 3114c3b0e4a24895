"""Fonts, sizes and colours of all figures, dots of seeds and reference lines.

Pictures are plain `Figure` objects of matplotlib, without pyplot and its global state. So any
number of threads may draw.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pandas as pd

from runner.figures.mpl import Axes, import_matplotlib
from runner.figures.texts import FONTS, drawable_text

# The first eight: Okabe & Ito, "Color Universal Design" (2008), distinct with every common colour
# blindness. The yellow is darker than theirs, since a thin yellow line vanishes on white paper. The
# last four differ from them mainly in lightness, so their arms also have another line style.
PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#A89F00"),
    *("#882255", "#332288", "#1A5C3A", "#8A8A8A"),
)
WIDTH = 9.7  # inches of every picture: at 96 pixels an inch, a page's column of 62rem
DPI = 130
TITLE_SIZE, TEXT_SIZE, LEGEND_SIZE, TICK_SIZE = 14.0, 11.0, 11.0, 10.0  # points
STYLE: dict[str, Any] = {
    "font.family": list(FONTS),
    "font.size": TEXT_SIZE,
    "text.parse_math": False,  # an arm may be called a$b
    "axes.titlesize": TEXT_SIZE,
    "axes.labelsize": TEXT_SIZE,
    "xtick.labelsize": TICK_SIZE,
    "ytick.labelsize": TICK_SIZE,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # no ticks are above the axes; matplotlib would measure the labels for it
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
            fontsize=TICK_SIZE,
            color="#333333",
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
            zorder=5,
        )
