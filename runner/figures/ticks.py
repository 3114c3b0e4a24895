"""Ticks at cells and bars: numbers in equal distances, names all of them."""

from itertools import pairwise
from typing import Any

import numpy as np

from runner.figures.texts import EMS, columns, distinct

MOST_NAMES = 40  # along one axis
LARGEST, SMALLEST = 10.0, 5.0  # points, of a name's font
SPACING, TIGHTEST = 1.18, 1.05  # from one line to the next, of the font size


def are_names(values: list[Any]) -> bool:
    """Whether some of the values are no numbers."""
    return not all(isinstance(value, (int, float, np.number)) for value in values)


def inches_for(values: list[Any], font_size: float = 8.5) -> float:
    """What names need below or beside each other; 0 for numbers."""
    return min(len(values), MOST_NAMES) * font_size * SPACING / 72 if are_names(values) else 0.0


def widest_inches(values: list[Any]) -> float:
    """What the widest of the names takes as they are drawn; 0 for numbers."""
    texts = distinct(map(str, values)) if are_names(values) else [""]
    return max(map(columns, texts)) * EMS * LARGEST / 72


def set_ticks(axis: Any, values: list[Any], inches: float, *, turn: int = 90) -> str:
    """Name the cells of an axis of so many inches; return what its label must say of the rest.

    Numbers have nine ticks at most. Names have one each, up to 40 and to what can be read; names
    that do not fit side by side are turned by `turn` degrees, or by 90.
    """
    if not are_names(values):
        every = max(1, -(-len(values) // 9))
        axis.set_ticks(range(0, len(values), every), [str(v) for v in values[::every]])
        return ""
    return set_names(axis, [str(value) for value in values], inches, turn=turn)


def set_names(
    axis: Any, texts: list[str], inches: float, *, most: int = MOST_NAMES, turn: int = 90
) -> str:
    """As `set_ticks`, for the texts of cells, of which `most` get one."""
    room = min(most, max(1, int(inches * 72 / (SMALLEST * TIGHTEST))))
    every = -(-len(texts) // room)
    shown = distinct(texts)[::every]
    pitch = inches * 72 / len(shown)
    size = min(LARGEST, max(SMALLEST, pitch / SPACING))
    options: dict[str, Any] = {"fontsize": size}
    if axis.axis_name == "x" and _crowded(shown, pitch / (EMS * LARGEST)):
        # Turned by 30 degrees, neighbours are half as far apart.
        turned = turn if pitch * np.sin(np.radians(turn)) >= LARGEST * SPACING else 90
        options |= {"rotation": turned, "ha": "center" if turned == 90 else "right"}
        options["fontsize"] = size if turned == 90 else LARGEST
    elif axis.axis_name == "x":
        options["fontsize"] = LARGEST
    axis.set_ticks(range(0, len(texts), every), shown, **options)
    left_out = len(texts) - len(shown)
    return f"{left_out} of {len(texts)} names are not shown" if left_out else ""


def with_rest(label: str, rest: str) -> str:
    """An axis's label, followed by what `set_ticks` says of names without a tick."""
    return f"{label} ({rest})" if label and rest else label or rest


def _crowded(texts: list[str], room: float) -> bool:
    """Whether texts side by side touch, each with `room` columns; neighbours share theirs."""
    wide = [columns(text) for text in texts]
    return any((a + b) / 2 + 1 > room for a, b in pairwise(wide))
