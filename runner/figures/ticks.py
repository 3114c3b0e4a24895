"""Ticks at cells and bars: some of the numbers at equal distances, or all names."""

from itertools import pairwise
from typing import Any

import numpy as np

from runner.figures.canvas import TICK_SIZE
from runner.figures.texts import CHARACTER_WIDTH, distinct_texts, text_width

MIN_FONT_SIZE = 6.0  # points of a name's font, where an axis can be as long as its names need
LEAST_FONT_SIZE = 3.5  # with more names than the width of a picture holds
SPACING = 1.2  # distance of text lines, as a share of the font size
MAX_NUMBERS = 9  # along one axis


def are_names(values: list[Any]) -> bool:
    """Return whether a value is not a number."""
    return not all(isinstance(value, (int, float, np.number)) for value in values)


def inches_for(values: list[Any], font_size: float = 8.5) -> float:
    """Return the length in inches of an axis with these names; 0 for numbers.

    Many names are smaller, down to the least legible size, so that a picture stays on a page.
    """
    if not are_names(values):
        return 0.0
    size = font_size if len(values) <= 40 else MIN_FONT_SIZE
    return len(values) * size * SPACING / 72


def set_ticks(axis: Any, values: list[Any], inches: float, *, rotation: int = 90) -> None:
    """Set the ticks of an axis of `inches`: nine numbers at most, or every name.

    Names that do not fit side by side are rotated by `rotation` degrees, or by 90.
    """
    if are_names(values):
        set_tick_names(axis, [str(value) for value in values], inches, rotation=rotation)
        return
    every = max(1, -(-len(values) // MAX_NUMBERS))
    axis.set_ticks(range(0, len(values), every), [str(v) for v in values[::every]])


def set_tick_names(axis: Any, texts: list[str], inches: float, *, rotation: int = 90) -> None:
    """Set a tick with its text for each of `texts`, in a font that fits an axis of `inches`."""
    labels = distinct_texts(texts)
    pitch = inches * 72 / len(labels)
    size = min(TICK_SIZE, max(LEAST_FONT_SIZE, pitch / SPACING))
    options: dict[str, Any] = {"fontsize": size}
    if axis.axis_name == "x" and _crowded(labels, pitch / (CHARACTER_WIDTH * TICK_SIZE)):
        # Neighbours that are rotated by 30 degrees are half as far apart.
        degrees = rotation if pitch * np.sin(np.radians(rotation)) >= TICK_SIZE * SPACING else 90
        options |= {"rotation": degrees, "ha": "center" if degrees == 90 else "right"}
        options["fontsize"] = size if degrees == 90 else TICK_SIZE
        if degrees != 90:
            options["rotation_mode"] = "anchor"
    elif axis.axis_name == "x":
        options["fontsize"] = TICK_SIZE
    axis.set_ticks(range(len(texts)), labels, **options)


def _crowded(texts: list[str], n_columns: float) -> bool:
    """Return whether texts side by side touch, each with a space of `n_columns`."""
    widths = [text_width(text) for text in texts]
    return any((a + b) / 2 + 1 > n_columns for a, b in pairwise(widths))
