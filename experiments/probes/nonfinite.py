"""Helpers for values that may not be finite: they become NaN, and NaN is never skipped."""

import math
from collections.abc import Iterable, Mapping


def finite_or_nan(value: float) -> float:
    """Return the value, or NaN where it is not finite."""
    return value if math.isfinite(value) else math.nan


def replace_nonfinite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics, with NaN for each value that is not finite."""
    return {name: finite_or_nan(value) for name, value in metrics.items()}


def max_or_nan(values: Iterable[float]) -> float:
    """Return the largest value, or NaN where one is NaN; `max` alone would depend on the order."""
    listed = list(values)
    return math.nan if any(map(math.isnan, listed)) else max(listed)


def min_or_nan(values: Iterable[float]) -> float:
    """Return the smallest value, or NaN where one is NaN."""
    return -max_or_nan(-value for value in values)


def ratio_or_nan(part: float, n: float) -> float:
    """Return `part` / `n`, or NaN where n is 0 or the ratio is not finite."""
    return finite_or_nan(part / n) if n else math.nan
