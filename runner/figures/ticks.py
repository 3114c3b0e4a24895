"""Ticks at cells and bars: numbers in equal distances, names all of them."""

from itertools import pairwise
from typing import Any

import numpy as np

from runner.figures.texts import CHARACTER_WIDTH, distinct_texts, text_width

MOST_NAMES = 40  # along one axis
MAX_FONT_SIZE, MIN_FONT_SIZE = 10.0, 5.0  # points, of a name's font
SPACING, TIGHTEST = 1.18, 1.05  # from one line to the next, of the font size


def are_names(values: list[Any]) -> bool:
    """Whether some of the values are no numbers."""
    return not all(isinstance(value, (int, float, np.number)) for value in values)


def inches_for(values: list[Any], font_size: float = 8.5) -> float:
    """What names need below or beside each other; 0 for numbers."""
    return min(len(values), MOST_NAMES) * font_size * SPACING / 72 if are_names(values) else 0.0


def widest_inches(values: list[Any]) -> float:
    """What the widest of the names takes as they are drawn; 0 for numbers."""
    texts = distinct_texts(map(str, values)) if are_names(values) else [""]
    return max(map(text_width, texts)) * CHARACTER_WIDTH * MAX_FONT_SIZE / 72


def set_ticks(axis: Any, values: list[Any], inches: float, *, rotation: int = 90) -> str:
    """Name the cells of an axis of so many inches; return what its label must say of the rest.

    Numbers have nine ticks at most. Names have one each, up to 40 and to what can be read; names
    that do not fit side by side are turned by `rotation` degrees, or by 90.
    """
    if not are_names(values):
        every = max(1, -(-len(values) // 9))
        axis.set_ticks(range(0, len(values), every), [str(v) for v in values[::every]])
        return ""
    return set_tick_names(axis, [str(value) for value in values], inches, rotation=rotation)


def set_tick_names(
    axis: Any, texts: list[str], inches: float, *, max_names: int = MOST_NAMES, rotation: int = 90
) -> str:
    """As `set_ticks`, for the texts of cells, of which `max_names` get one."""
    room = min(max_names, max(1, int(inches * 72 / (MIN_FONT_SIZE * TIGHTEST))))
    every = -(-len(texts) // room)
    shown = distinct_texts(texts)[::every]
    pitch = inches * 72 / len(shown)
    size = min(MAX_FONT_SIZE, max(MIN_FONT_SIZE, pitch / SPACING))
    options: dict[str, Any] = {"fontsize": size}
    if axis.axis_name == "x" and _crowded(shown, pitch / (CHARACTER_WIDTH * MAX_FONT_SIZE)):
        # Turned by 30 degrees, neighbours are half as far apart.
        turned = rotation if pitch * np.sin(np.radians(rotation)) >= MAX_FONT_SIZE * SPACING else 90
        options |= {"rotation": turned, "ha": "center" if turned == 90 else "right"}
        options["fontsize"] = size if turned == 90 else MAX_FONT_SIZE
    elif axis.axis_name == "x":
        options["fontsize"] = MAX_FONT_SIZE
    axis.set_ticks(range(0, len(texts), every), shown, **options)
    left_out = len(texts) - len(shown)
    return f"{left_out} of {len(texts)} names are not shown" if left_out else ""


def append_to_label(label: str, rest: str) -> str:
    """An axis's label, followed by what `set_ticks` says of names without a tick."""
    return f"{label} ({rest})" if label and rest else label or rest


def _crowded(texts: list[str], room: float) -> bool:
    """Whether texts side by side touch, each with `room` columns; neighbours share theirs."""
    wide = [text_width(text) for text in texts]
    return any((a + b) / 2 + 1 > room for a, b in pairwise(wide))
