"""Figures, drawn as the report draws them."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from matplotlib.figure import Figure

from runner.figures import canvas
from runner.figures.data import Records
from runner.figures.draw import Picture, draw, draw_all
from runner.figures.spec import figure_spec


def figure(records: Records, **options: Any) -> Figure:
    with canvas.style():
        made = draw(figure_spec({"title": "t", **options}), records)
        made.canvas.draw()  # warnings are errors: a missing glyph would show here
    return made


def all_drawn(
    figures: Mapping[str, dict[str, Any]], records: Records, caplog: pytest.LogCaptureFixture
) -> dict[str, Picture]:
    """The pictures of all figures, none of which gave a warning."""
    specs = {key: figure_spec(options) for key, options in figures.items()}
    with caplog.at_level(logging.WARNING):
        pictures, warnings = draw_all(specs, records)
    assert not caplog.records, caplog.text
    assert not warnings
    return pictures
