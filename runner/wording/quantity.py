"""The format of numbers in the terminal, in the report and in TensorBoard's texts."""

import math

NO_VALUE = "\N{EM DASH}"


def format_number(value: float | None, digits: int = 4) -> str:
    """Return a value as text with `digits` significant digits.

    Whole numbers below 1e9 keep all their digits and get thousands separators. Absolute values from
    1e9 and below 1e-4 get an exponent. NaN and None become a dash.
    """
    if value is None:
        return NO_VALUE
    value = float(value)
    if not math.isfinite(value):
        return NO_VALUE if math.isnan(value) else ("∞" if value > 0 else "-∞")
    size = abs(value)
    if value == int(value) and size < 1e9:
        return f"{int(value):,}"
    if size >= 1e9 or size < 1e-4:
        return f"{value:.{digits - 1}e}"
    decimals = _decimals(size, digits)
    return f"{value:,.{decimals}f}"


def format_quantity(value: float | None, unit: str = "") -> str:
    """Return a number with its unit; the unit "1" or "" of a pure ratio is left out."""
    return f"{format_number(value)} {unit}" if unit not in ("", "1") else format_number(value)


def format_difference(value: float | None, digits: int = 3) -> str:
    """Return a difference as text, with a plus sign if it is positive."""
    text = format_number(value, digits)
    return text if value is None or text.startswith(("-", NO_VALUE)) or value == 0 else f"+{text}"


def format_interval(low: float | None, high: float | None, digits: int = 4) -> str:
    """Return an interval with equally many decimals at both ends: [2.031, 2.075]."""
    ends = [low, high]
    if any(end is None or not math.isfinite(float(end)) for end in ends):
        return f"[{format_number(low)}, {format_number(high)}]"
    sizes = [abs(float(end)) for end in ends if end is not None]
    if max(sizes) >= 1e9 or max(sizes) < 1e-4 or all(s == int(s) for s in sizes):
        return f"[{format_number(low, digits)}, {format_number(high, digits)}]"
    decimals = _decimals(max(sizes), digits)
    return f"[{float(low or 0):,.{decimals}f}, {float(high or 0):,.{decimals}f}]"


def format_mean(
    mean: float, low: float, high: float, n: int, *, is_difference: bool = False
) -> str:
    """Return a mean with its interval, or with the reason why it has none.

    A mean of one seed has no interval. A mean of two or more seeds without limits is exact: all
    seeds have the same value, such as a parameter count.
    """
    text = format_difference(mean) if is_difference else format_number(mean)
    if math.isnan(mean):
        return text
    if n < 2:
        return f"{text} (one seed)"
    if math.isnan(low) or math.isnan(high):
        return f"{text} (exact)"
    return f"{text} {format_interval(low, high, 3 if is_difference else 4)}"


def format_p_value(p: float | None) -> str:
    """Return a p-value with three decimals, or as "< 0.001"."""
    if p is None or math.isnan(p):
        return NO_VALUE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _decimals(size: float, digits: int) -> int:
    """Return the decimals for `digits` significant digits, also where rounding adds one: 9.9999."""
    exponent = int(f"{size:.{digits - 1}e}".partition("e")[2])
    return max(0, digits - 1 - exponent)
