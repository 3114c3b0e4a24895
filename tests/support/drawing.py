"""Figures, drawn as the report draws them."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from matplotlib.figure import Figure

from runner.figures import canvas
from runner.figures.data import Records
from runner.figures.draw import Picture, draw_all
from runner.figures.kinds import read_figure
from runner.figures.layout import arrange
from runner.figures.sheet import Sheet


def draw_sheet(records: Records, **options: Any) -> Sheet:
    with canvas.style():
        sheet = read_figure("x", {"title": "t", **options}).draw(records)
        assert isinstance(sheet, Sheet)
        arrange(sheet)  # warnings are errors: a missing glyph would show here
    return sheet


def draw_figure(records: Records, **options: Any) -> Figure:
    return draw_sheet(records, **options).figure


def draw_all_figures(
    figures: Mapping[str, dict[str, Any]], records: Records, caplog: pytest.LogCaptureFixture
) -> dict[str, Picture]:
    """Return the pictures of all figures, and fail at a warning."""
    read = {name: read_figure(name, options) for name, options in figures.items()}
    with caplog.at_level(logging.WARNING):
        pictures, _, warnings = draw_all(read, records)
    assert not caplog.records, caplog.text
    assert not warnings
    return pictures
