"""The format of numbers and quantities in the terminal, in the report and in TensorBoard's texts.

A quantity is printed in a unit that a person reads: -132 MiB instead of -138,280,960 bytes. The
numbers of one table column or sentence share a `DisplayUnit`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NO_VALUE = "\N{EM DASH}"
PURE_NUMBERS = ("", "1")
"""The units of pure numbers, which are printed without a unit."""

BYTES = {"bytes": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
MILLIONS = {"": 1.0, "M": 1e6, "G": 1e9, "T": 1e12}
SHARE = "share"
"""The unit of a pure number from 0 to 1 that is printed in percent."""
LEAST_AMOUNT = 0.01  # an amount that a unit prints below this gets a finer unit
ROUNDING_NOISE = 1e-6  # an interval that is narrower, relative to its mean, comes from rounding
LEAST = 0.1  # smallest absolute value that a shared unit may print, if a finer unit exists
PRINTED_NAMES = {"us": "µs"}


@dataclass(frozen=True)
class DisplayUnit:
    """The unit that values of one recorded unit are printed in.

    name    the unit as printed; "" for a pure number
    factor  number of recorded units in one display unit
    """

    name: str = ""
    factor: float = 1.0

    def scale(self, value: float | None) -> float | None:
        """Return a recorded value in this unit."""
        return None if value is None else float(value) / self.factor

    def with_name(self, text: str) -> str:
        """Return a printed number with the name of the unit."""
        return f"{text} {self.name}" if self.name else text


PLAIN = DisplayUnit()


def display_unit(unit: str, values: Iterable[float | None]) -> DisplayUnit:
    """Return the unit in which all these values can be read.

    It is the largest unit in which the largest value is at least 1 and the smallest at least 0.1.
    Bytes and seconds have units of their own; pure numbers, parameters and FLOPs get M from a
    million on. A share is printed in percent. Any other unit stays.
    """
    if unit == SHARE:
        return DisplayUnit("%", 0.01)
    steps, recorded = _steps(unit)
    sizes = sorted(abs(v) for v in values if v is not None and math.isfinite(v) and v)
    if len(steps) < 2 or not sizes:
        return DisplayUnit("" if unit in PURE_NUMBERS else PRINTED_NAMES.get(unit, unit))
    names = [*steps]
    chosen = names[0]
    for name in names[1:]:
        if sizes[-1] * recorded >= steps[name] and sizes[0] * recorded >= LEAST * steps[name]:
            chosen = name
    return DisplayUnit(PRINTED_NAMES.get(chosen, chosen), steps[chosen] / recorded)


def amount_unit(unit: str, size: float, display: DisplayUnit) -> DisplayUnit:
    """Return the unit of one amount: `display`, or a finer one in which the amount can be read."""
    if not math.isfinite(size) or not size or abs(size) / display.factor >= LEAST_AMOUNT:
        return display
    finer = display_unit(unit, [size])
    return finer if finer.factor < display.factor else display


def shows_spread(mean: float, low: float, high: float) -> bool:
    """Return whether an interval has limits, and more width than rounding explains."""
    width = high - low
    return math.isfinite(width) and width / 2 > ROUNDING_NOISE * abs(mean)


def _steps(unit: str) -> tuple[Mapping[str, float], float]:
    """Return the units that a recorded unit can be printed in, and its own size among them."""
    for ladder in (BYTES, SECONDS):
        if unit in ladder:
            return ladder, ladder[unit]
    if unit in PURE_NUMBERS:
        return MILLIONS, 1.0
    if unit == "parameters":
        return {f"{name} {unit}".strip(): size for name, size in MILLIONS.items()}, 1.0
    if unit.startswith("FLOP") and "/s" not in unit:
        return {f"{name}{unit}": size for name, size in MILLIONS.items()}, 1.0
    return {}, 1.0


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


def format_quantity(value: float | None, unit: str = "", digits: int = 4) -> str:
    """Return a number in a unit that a person reads: 12.5 MiB, 1.20 min, 3.10 M; pure: 0.25."""
    display = display_unit(unit, [value])
    text = format_number(display.scale(value), digits)
    return text if text == NO_VALUE else display.with_name(text)


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
    mean: float,
    low: float,
    high: float,
    n: int,
    *,
    is_difference: bool = False,
    display: DisplayUnit = PLAIN,
    marks_exact: bool = True,
) -> str:
    """Return a mean with its interval, or with the reason why it has none, without its unit.

    A mean of one seed has no interval. A mean of two or more seeds without limits is exact: all
    seeds have the same value, such as a parameter count. `marks_exact` is whether the text says so.
    """
    mean, low, high = (value / display.factor for value in (mean, low, high))
    text = format_difference(mean) if is_difference else format_number(mean)
    if math.isnan(mean):
        return text
    if n < 2:
        return f"{text} (one seed)"
    if math.isnan(low) or math.isnan(high):
        return f"{text} (exact)" if marks_exact else text
    return f"{text} {format_interval(low, high, 3 if is_difference else 4)}"


def format_amount(mean: float, low: float, high: float, display: DisplayUnit = PLAIN) -> str:
    """Return the size of a difference for a sentence: "0.016 nats/byte [0.007, 0.024]".

    The amount is positive, and the limits of a negative difference change their signs and places.
    It has two significant digits, or fewer where the interval is wide. It has more where these
    would hide the interval or a distance from zero. An interval without a spread is left out.
    """
    if math.isnan(mean):
        return NO_VALUE
    if mean < 0:
        mean, low, high = -mean, -high, -low
    mean, low, high = (value / display.factor for value in (mean, low, high))
    has_interval = shows_spread(mean, low, high)
    if not has_interval and math.isfinite(high - low):
        number, ends = format_number(mean, 3), []
    elif mean and (mean >= 1e9 or mean < 1e-4):
        number, ends = format_number(mean, 2), [format_number(end, 2) for end in (low, high)]
    elif not has_interval and mean == int(mean):
        number, ends = f"{int(mean):,}", []
    else:
        half = (high - low) / 2 if has_interval else 0.0
        decimals = _decimals(half / 3, 1) if half else 0
        if mean and mean >= half:
            decimals = max(decimals, _decimals(mean, 2))
        limits = [low, high] if has_interval else []
        for _ in range(3):
            rounded = [round(end, decimals) for end in limits]
            is_visible = not limits or (
                rounded[0] != rounded[1]
                and all(near or not end for near, end in zip(rounded, limits, strict=True))
            )
            if is_visible and (round(mean, decimals) or not mean):
                break
            decimals += 1
        number, *ends = [_fixed(value, decimals) for value in (mean, *limits)]
    text = display.with_name(number)
    return f"{text} [{ends[0]}, {ends[1]}]" if has_interval else text


def format_level(mean: float, low: float, high: float, display: DisplayUnit = PLAIN) -> str:
    """Return a mean for a sentence, as rounded as a difference: "3.5 % [1.1, 5.9]"."""
    if not mean < 0:
        return format_amount(mean, low, high, display)
    text = format_amount(-mean, -high, -low, display)
    number, bracket, limits = text.partition(" [")
    turned = [_negated(end) for end in reversed(limits.removesuffix("]").split(", "))]
    return f"-{number}" + (f"{bracket}{', '.join(turned)}]" if limits else "")


def _negated(number: str) -> str:
    if not float(number.replace(",", "")):
        return number
    return number.removeprefix("-") if number.startswith("-") else f"-{number}"


def format_p_value(p: float | None) -> str:
    """Return a p-value with three decimals, or as "< 0.001"."""
    if p is None or math.isnan(p):
        return NO_VALUE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return text.removeprefix("-") if not float(text.replace(",", "")) else text


def _decimals(size: float, digits: int) -> int:
    """Return the decimals for `digits` significant digits, also where rounding adds one: 9.9999."""
    exponent = int(f"{size:.{digits - 1}e}".partition("e")[2])
    return max(0, digits - 1 - exponent)
