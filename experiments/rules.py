"""Checks that several options share; each message names the field, its value and the rule."""

from dataclasses import fields
from typing import Any


def check_at_least(minimum: float, **values: float) -> None:
    """Raise ValueError for the first value below `minimum`, naming its field."""
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{name}={value} must be at least {minimum}")


def check_dataclass(where: str, options: type) -> None:
    """Raise ValueError where a class has no @dataclass of its own; that of a base does not count.

    `where` begins the message.
    """
    if "__dataclass_fields__" not in vars(options):
        raise ValueError(f"{where}: not a dataclass; write @dataclass below the decorator")


def check_has_fields(group: str, part: Any, *names: str, why: str) -> None:
    """Raise ValueError where the options of a part, perhaps a plug-in's, have no field of a name.

    `why` is the reason in the message.
    """
    missing = set(names) - {field.name for field in fields(part)}
    if missing:
        raise ValueError(
            f"{group}={part.kind} has no {', '.join(sorted(missing))}, and {why}; "
            f"choose another {group}"
        )


def check_fraction(**values: float) -> None:
    """Raise ValueError for the first value outside [0, 1), naming its field."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value} must lie in [0, 1)")
