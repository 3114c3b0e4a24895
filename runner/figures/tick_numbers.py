"""The numbers at the ticks of axes: short, and plain on logarithmic axes."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from runner.figures.mpl import Axes

MILLION = 1e6
LINEAR_NOTE = "a linear axis, since values below 0 have no logarithm"


def shorten_tick_numbers(axes: Axes) -> None:
    """Write large numbers of linear axes with a letter, as 134 M."""
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        if axis.get_scale() == "linear" and max(map(abs, limits)) >= MILLION:
            set_tick_format(axis, short_number)


def usable_log(log: str, y: pd.Series, x: pd.Series | None = None) -> str:
    """Return the axes of `log` (none, x, y, both), except for axes with a value below 0."""
    values = {"x": x, "y": y}
    axes = [
        name
        for name in ("x", "y")
        if log in (name, "both") and ((column := values[name]) is None or not (column < 0).any())
    ]
    return "both" if len(axes) == 2 else axes[0] if axes else "none"


def linear_notes(log: str, used: str) -> list[str]:
    """Return the note of a figure of which an axis of `log` is not logarithmic."""
    return [] if used == log else [LINEAR_NOTE]


def set_log_axes(axes: Axes, log: str) -> None:
    """Make the axes of `log` (none, x, y, both) logarithmic, with plain numbers at the ticks."""
    if log in ("x", "both"):
        axes.set_xscale("log")
        # Fewer than on y: labels are side by side.
        _log_ticks(axes.xaxis, axes.get_xlim(), (1.0, 2.0, 3.0, 5.0))
    if log in ("y", "both"):
        axes.set_yscale("log")
        _log_ticks(axes.yaxis, axes.get_ylim(), (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0))


def _log_ticks(axis: Any, limits: tuple[float, float], within_decade: tuple[float, ...]) -> None:
    """Set ticks by the range: even below a factor of 2, at round numbers, at decades above 1000."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    ratio = max(limits) / min(limits)
    subs = within_decade if ratio < 10 else (1.0, 2.0, 5.0) if ratio < 1e3 else (1.0,)
    axis.set_major_locator(MaxNLocator(5) if ratio < 2 else LogLocator(10, subs=subs))
    axis.set_minor_locator(NullLocator())
    set_tick_format(axis, short_number)


def set_tick_format(axis: Any, text: Callable[[float], str]) -> None:
    """Set the function that writes the numbers of an axis's ticks."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


def short_number(value: float) -> str:
    """Return the text of a tick: 20,000 and 0.05 in full, 134,000,000 as 134 M."""
    for size, letter in ((1000 * MILLION, "G"), (MILLION, "M")):
        if abs(value) >= size:
            return f"{value / size:,.4g} {letter}"
    return f"{value:,.7g}"
