"""Durations in the terminal."""

import math


def format_duration(seconds: float) -> str:
    """Return a time with its unit: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def format_estimate(seconds: float) -> str:
    """Return an estimated time: `about 40 s`; seconds are rounded up to tens."""
    rounded = 10 * math.ceil(seconds / 10) if seconds < 90 else seconds
    return f"about {format_duration(max(rounded, 10))}"
