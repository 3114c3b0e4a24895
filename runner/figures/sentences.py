"""Sentences on the values of a figure, for readers who do not see it, and texts on hover."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from runner.figures.data import Records
from runner.figures.figure import PanelFigure
from runner.wording import quantity

MAX_LISTED = 12  # values in a sentence; of more, only the least and the largest are named
MAX_WORDS = 60
Named = tuple[str, float]  # a name with its value


def list_values(values: Sequence[Named]) -> str:
    """Return `dense 2.05, moe_top2 2.03`; of many values only the least and the largest."""
    known = [(name, value) for name, value in values if math.isfinite(value)]
    if not known:
        return "no values"
    if len(known) <= MAX_LISTED:
        return ", ".join(_text(*one) for one in known)
    if len({value for _, value in known}) == 1:
        return f"{len(known)} values, all {quantity.format_number(known[0][1], 3)}"
    least, largest = min(known, key=lambda one: one[1]), max(known, key=lambda one: one[1])
    return f"{len(known)} values from {_text(*least)} to {_text(*largest)}"


def describe(labels: Sequence[str], where: str, values: Sequence[Named], source: str) -> str:
    """Return the sentence `Loss at step 300: dense 2.05; means of 8 seeds.`, of 60 words or less.

    A label that an earlier one contains is left out.
    """
    chosen: list[str] = []
    for label in labels:
        if not any(label.lower() in earlier.lower() for earlier in chosen):
            chosen.append(label)
    subject = f"{', '.join(chosen)}{f' {where}' if where else ''}"
    words = f"{subject[:1].upper()}{subject[1:]}: {list_values(values)}; {source}.".split()
    return " ".join(words) if len(words) <= MAX_WORDS else f"{' '.join(words[:MAX_WORDS])} …"


def source_words(figure: PanelFigure, records: Records, rows: pd.DataFrame) -> str:
    """Return whether the values are means, and over how many seeds."""
    arms = list(rows["arm"].unique())
    if figure.shows_one_seed:
        return "first seed of each arm" if len(arms) > 1 else f"first seed of {arms[0]}"
    counts = sorted({len(records.seeds.get(str(arm), ())) for arm in arms})
    if counts == [1]:
        return "one seed"
    numbers = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"means of {numbers} seeds"


def hover_text(names: Sequence[str], band: Mapping[Any, Any]) -> str:
    """Return the text of a mean on hover: `moe_top2, step 300: 2.031 [2.015, 2.047]`."""
    value = quantity.format_mean(band["mean"], band["low"], band["high"], int(band["n"]))
    return f"{', '.join(name for name in names if name)}: {value}"


def hover_value(names: Sequence[str], value: float) -> str:
    """Return the text of a single value on hover."""
    return f"{', '.join(name for name in names if name)}: {quantity.format_number(value)}"


def _text(name: str, value: float) -> str:
    return f"{name} {quantity.format_number(value, 3)}".strip()
