"""How dataclasses become the schema of an option file, and the checks that they share."""

from collections.abc import Callable
from typing import TypeVar

OPTIONS: dict[str, dict[str, type]] = {}
QUESTIONS: dict[str, type] = {}

T = TypeVar("T", bound=type)


def option(group: str, kind: str) -> Callable[[T], T]:
    """Register a dataclass as the schema of `kind` in a config group."""

    def register(schema: T) -> T:
        OPTIONS.setdefault(group, {})[kind] = schema
        return schema

    return register


def question(name: str) -> Callable[[T], T]:
    """Register an experiment's own options; their `parts` are the groups the experiment has."""

    def register(schema: T) -> T:
        QUESTIONS[name] = schema
        return schema

    return register


def measuring(*affects: str) -> dict[str, tuple[str, ...]]:
    """Metadata of a field of an experiment's options that only says what is measured.

    Arms may differ in it and still be compared, in all metrics but those whose names begin with one
    of `affects`: `rounds: int = field(metadata=measuring())`.
    """
    return {"affects": affects}


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
