"""Ticks at cells and bars: some of the numbers at equal distances, or all names."""

from itertools import pairwise
from typing import Any

import numpy as np

from runner.figures.texts import CHARACTER_WIDTH, distinct_texts, text_width

MAX_NAMES = 40  # along one axis
MAX_FONT_SIZE, MIN_FONT_SIZE = 10.0, 5.0  # points, of a name's font
SPACING, MIN_SPACING = 1.18, 1.05  # distance of text lines, as a share of the font size


def are_names(values: list[Any]) -> bool:
    """Return whether a value is not a number."""
    return not all(isinstance(value, (int, float, np.number)) for value in values)


def inches_for(values: list[Any], font_size: float = 8.5) -> float:
    """Return the length in inches of an axis with these names; 0 for numbers."""
    return min(len(values), MAX_NAMES) * font_size * SPACING / 72 if are_names(values) else 0.0


def widest_inches(values: list[Any]) -> float:
    """Return the width in inches of the widest name; 0 for numbers."""
    texts = distinct_texts(map(str, values)) if are_names(values) else [""]
    return max(map(text_width, texts)) * CHARACTER_WIDTH * MAX_FONT_SIZE / 72


def set_ticks(axis: Any, values: list[Any], inches: float, *, rotation: int = 90) -> str:
    """Set the ticks of an axis of `inches`; return a note for its label on names without a tick.

    Numbers have nine ticks at most. Each name has a tick, up to 40 legible ones. Names that do not
    fit side by side are rotated by `rotation` degrees, or by 90.
    """
    if not are_names(values):
        every = max(1, -(-len(values) // 9))
        axis.set_ticks(range(0, len(values), every), [str(v) for v in values[::every]])
        return ""
    return set_tick_names(axis, [str(value) for value in values], inches, rotation=rotation)


def set_tick_names(
    axis: Any, texts: list[str], inches: float, *, max_names: int = MAX_NAMES, rotation: int = 90
) -> str:
    """Set ticks as `set_ticks` does for names, with at most `max_names` texts."""
    n_names = min(max_names, max(1, int(inches * 72 / (MIN_FONT_SIZE * MIN_SPACING))))
    every = -(-len(texts) // n_names)
    labels = distinct_texts(texts)[::every]
    pitch = inches * 72 / len(labels)
    size = min(MAX_FONT_SIZE, max(MIN_FONT_SIZE, pitch / SPACING))
    options: dict[str, Any] = {"fontsize": size}
    if axis.axis_name == "x" and _crowded(labels, pitch / (CHARACTER_WIDTH * MAX_FONT_SIZE)):
        # Neighbours that are rotated by 30 degrees are half as far apart.
        degrees = (
            rotation if pitch * np.sin(np.radians(rotation)) >= MAX_FONT_SIZE * SPACING else 90
        )
        options |= {"rotation": degrees, "ha": "center" if degrees == 90 else "right"}
        options["fontsize"] = size if degrees == 90 else MAX_FONT_SIZE
    elif axis.axis_name == "x":
        options["fontsize"] = MAX_FONT_SIZE
    axis.set_ticks(range(0, len(texts), every), labels, **options)
    left_out = len(texts) - len(labels)
    return f"{left_out} of {len(texts)} names are not shown" if left_out else ""


def append_to_label(label: str, note: str) -> str:
    """Return an axis's label, followed by the note of `set_ticks` in brackets."""
    return f"{label} ({note})" if label and note else label or note


def _crowded(texts: list[str], n_columns: float) -> bool:
    """Return whether texts side by side touch, each with a space of `n_columns`."""
    widths = [text_width(text) for text in texts]
    return any((a + b) / 2 + 1 > n_columns for a, b in pairwise(widths))
