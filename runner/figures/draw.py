"""The drawing of a study's figures from its records, without a model.

A figure that fails gives a warning, and the others are drawn.
"""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass

from runner.figures import canvas
from runner.figures.data import CannotDrawError, NothingToShowError, Records
from runner.figures.figure import Figure, TextTable
from runner.figures.layout import arrange
from runner.figures.sheet import Sheet
from runner.wording.output import truncate_middle


@dataclass(frozen=True)
class HoverPoint:
    """A point of a picture with the text that a page shows at it.

    `x` and `y` are shares of the picture's width and height, from its upper left corner.
    """

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Picture:
    """A figure as PNG and SVG, its text for readers who do not see it, and its values on hover."""

    png: bytes
    svg: bytes
    alt: str = ""
    points: tuple[HoverPoint, ...] = ()


def draw_all(
    figures: Mapping[str, Figure], records: Records
) -> tuple[dict[str, Picture], dict[str, TextTable], list[str]]:
    """Draw every figure; return pictures, tables of text, and a warning for each that fails.

    Any error in a figure becomes its warning.
    """
    pictures, text_tables, warnings = {}, {}, []
    # Tables of texts need no style, and so no import of matplotlib.
    draws = any(figure.is_picture for figure in figures.values())
    with canvas.style() if draws else contextlib.nullcontext():
        for name, figure in figures.items():
            try:
                drawn = figure.draw(records)
                if isinstance(drawn, TextTable):
                    text_tables[name] = drawn
                else:
                    pictures[name] = _encode(name, drawn)
            except NothingToShowError as reason:
                warnings.append(f"figure {name} is left out: {reason}")
            except CannotDrawError as missing:
                warnings.append(f"figure {name} was skipped: {missing}")
            except Exception as error:
                warnings.append(f"figure {name} could not be drawn: {summarise_error(error)}")
    return pictures, text_tables, warnings


def summarise_error(error: Exception) -> str:
    """Return the type and the message of an error in one line of at most 200 characters."""
    text = " ".join(str(error).split())
    return truncate_middle(f"{type(error).__name__}: {text}" if text else type(error).__name__, 200)


def _encode(name: str, sheet: Sheet) -> Picture:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    # The layout is computed once, and the canvases' own writers draw once; `savefig` draws
    # everything a second time for the layout.
    arrange(sheet)
    png, svg = io.BytesIO(), io.StringIO()
    FigureCanvasAgg(sheet.figure).print_png(png)
    places = sheet.hover_places()
    # Names inside the SVG depend on the figure only, so the same records give the same file.
    with mpl.rc_context({"svg.hashsalt": name}):
        FigureCanvasSVG(sheet.figure).print_svg(svg, metadata={"Date": None})
    points = tuple(HoverPoint(round(x, 4), round(y, 4), text) for x, y, text in places)
    return Picture(png.getvalue(), svg.getvalue().encode(), sheet.alt, points)
