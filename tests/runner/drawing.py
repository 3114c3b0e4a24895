"""One figure, drawn as the report draws it."""

from typing import Any

from matplotlib.figure import Figure

from runner import canvas
from runner.figures import figure_spec
from runner.plot_data import Records
from runner.plots import draw


def figure(records: Records, **options: Any) -> Figure:
    with canvas.style():
        made = draw(figure_spec({"title": "t", **options}), records)
        made.canvas.draw()  # warnings are errors: a missing glyph would show here
    return made
