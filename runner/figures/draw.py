"""Rows -> figures. Never touches a model, so a picture can be drawn again from old records.

A kind is one function from a spec and the records to a `Figure`, under its name in `DRAWN`; what a
kind needs and uses is in `kinds.KINDS`.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from runner.figures import canvas
from runner.figures.data import CannotDrawError, Records
from runner.figures.kinds.bars import bars, points
from runner.figures.kinds.curve import curve, lines
from runner.figures.kinds.heatmap import heatmap
from runner.figures.kinds.matrix import matrix
from runner.figures.kinds.radar import radar
from runner.figures.kinds.scatter import scatter
from runner.figures.spec import FigureSpec
from runner.wording.output import shortened

DPI = 130

DRAWN: dict[str, Callable[[FigureSpec, Records], Figure]] = {
    "curve": curve,
    "lines": lines,
    "bars": bars,
    "points": points,
    "heatmap": heatmap,
    "matrix": matrix,
    "radar": radar,
    "scatter": scatter,
}


@dataclass(frozen=True)
class Picture:
    """One figure, encoded."""

    spec: FigureSpec
    png: bytes
    svg: bytes


def draw(spec: FigureSpec, records: Records) -> Figure:
    """Build one figure, inside `canvas.style()`. CannotDrawError where records are missing."""
    return DRAWN[spec.kind](spec, records)


def draw_all(
    specs: Mapping[str, FigureSpec], records: Records
) -> tuple[dict[str, Picture], list[str]]:
    """Every picture as PNG and SVG, and one warning line for each that could not be drawn.

    A figure that fails, for whatever reason, costs nothing but itself.
    """
    pictures, warnings = {}, []
    for key, spec in specs.items():
        if spec.kind not in DRAWN:
            continue  # no picture: see `samples`
        try:
            with canvas.style():
                pictures[key] = _encode(key, spec, draw(spec, records))
        except CannotDrawError as missing:
            warnings.append(f"figure {key} was skipped: {missing}")
        except Exception as error:
            warnings.append(f"figure {key} could not be drawn: {in_words(error)}")
    return pictures, warnings


def in_words(error: Exception) -> str:
    """The kind of an error and what it says, in one short line."""
    text = " ".join(str(error).split())
    return shortened(f"{type(error).__name__}: {text}" if text else type(error).__name__, 200)


def _encode(key: str, spec: FigureSpec, figure: Figure) -> Picture:
    # The canvases' own writers draw once; `savefig` draws everything a second time, without ink.
    png, svg = io.BytesIO(), io.StringIO()
    figure.set_dpi(DPI)
    FigureCanvasAgg(figure).print_png(png)
    # The layout is solved once: solving it again for the SVG would take as long as drawing it.
    figure.set_layout_engine("none")
    # Names inside the SVG depend on the figure only, so the same records give the same file.
    with mpl.rc_context({"svg.hashsalt": key}):
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
    return Picture(spec, png.getvalue(), svg.getvalue().encode())
