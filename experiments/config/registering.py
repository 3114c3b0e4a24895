"""How the options of tasks are registered."""

from collections.abc import Callable
from typing import TypeVar

from experiments.rules import at_least, share

__all__ = ["OPTIONS", "at_least", "option", "share"]

OPTIONS: dict[str, dict[str, type]] = {}

T = TypeVar("T", bound=type)


def option(group: str, kind: str) -> Callable[[T], T]:
    """Register a dataclass as the schema of `kind` in a config group."""

    def register(schema: T) -> T:
        OPTIONS.setdefault(group, {})[kind] = schema
        return schema

    return register
