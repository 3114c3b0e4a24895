"""Numbers of probes: what is not finite is no number, and a missing value is not passed over."""

import math
from collections.abc import Iterable, Mapping


def finite_or_nan(value: float) -> float:
    """Return the value, or NaN where it is not finite."""
    return value if math.isfinite(value) else math.nan


def replace_nonfinite(found: Mapping[str, float]) -> dict[str, float]:
    """Return the values by name, NaN for each that is not finite."""
    return {name: finite_or_nan(value) for name, value in found.items()}


def max_or_nan(values: Iterable[float]) -> float:
    """Return the largest value, NaN where one is NaN: `max` would depend on their order."""
    several = list(values)
    return math.nan if any(map(math.isnan, several)) else max(several)


def min_or_nan(values: Iterable[float]) -> float:
    """Return the smallest value, NaN where one is NaN."""
    return -max_or_nan(-value for value in values)


def ratio_or_nan(part: float, n: float) -> float:
    """Return `part` over n, NaN where n is 0 or the ratio is not finite."""
    return finite_or_nan(part / n) if n else math.nan
