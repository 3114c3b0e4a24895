"""Checks that options share; each names the field, its value and what it must be."""


def at_least(minimum: float, **values: float) -> None:
    """Raise ValueError for the first value below `minimum`, naming its field."""
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{name}={value} is too small; it must be at least {minimum}")


def share(**values: float) -> None:
    """Raise ValueError for the first value outside [0, 1), naming its field."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value} must lie in [0, 1)")
