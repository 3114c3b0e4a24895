"""The arms of `runner.compare`: overrides, and at most one class or factory each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner import registry
from runner.comparison.builders import GROUPS, Builder, read_builder
from runner.config import ConfigError
from runner.plan.overrides import parse_override
from runner.wording.names import check_file_name
from runner.wording.output import truncate_middle


@dataclass(frozen=True)
class ComparedArm:
    """One arm of a comparison.

    Attributes:
        name: its name.
        overrides: its own overrides, as the user wrote them.
        builder: the class or factory that it tries; None for an arm of overrides alone.
    """

    name: str
    overrides: tuple[str, ...]
    builder: Builder | None = None


def read_arms(arms: Any, group: str) -> list[ComparedArm]:
    """Return the arms of a mapping from names to options, classes and factories.

    Raises:
        ConfigError: the mapping is not one, has fewer than two arms, or an arm cannot be used.
    """
    if not isinstance(arms, Mapping):
        raise ConfigError(
            f"arms is {truncate_middle(repr(arms), 60)}; give a dictionary from names to arms, "
            'e.g. {"relu": "ffn=relu", "mine": MyFeedForward}'
        )
    if len(arms) < 2:
        count = "is empty" if not arms else f"has only {truncate_middle(next(iter(arms)), 60)!r}"
        raise ConfigError(f"arms {count}; give two arms or more, to compare them")
    read = [_read_arm(name, value, group) for name, value in arms.items()]
    folded = [arm.name.casefold() for arm in read]
    twice = [arm.name for arm in read if folded.count(arm.name.casefold()) > 1]
    if twice:
        raise ConfigError(
            f"the arms {' and '.join(twice)} differ in upper case only, and their folders may be "
            "the same; rename one"
        )
    return read


def _read_arm(name: Any, value: Any, group: str) -> ComparedArm:
    if not isinstance(name, str):
        raise ConfigError(
            f"the arm {truncate_middle(repr(name), 60)} has a name that is not a text; "
            "write it in quotes"
        )
    check_file_name("the arm", name)
    parsed: Any = parse_override(f"arms={{{name}:[]}}").value()
    if list(parsed) != [name]:
        raise ConfigError(
            f"the arm {name!r} has a name that reads as a number or as no value; choose another, "
            f"e.g. arm_{name}"
        )
    items = list(value) if isinstance(value, list | tuple) else [value]
    texts = tuple(item for item in items if isinstance(item, str))
    targets = [item for item in items if not isinstance(item, str)]
    if len(targets) > 1:
        raise ConfigError(f"the arm {name} has {len(targets)} classes or factories; give one")
    _check_one_option(name, texts, targets, group)
    return ComparedArm(name, texts, read_builder(name, targets[0], group) if targets else None)


def _check_one_option(name: str, texts: Sequence[str], targets: Sequence[Any], group: str) -> None:
    """Raise ConfigError if an arm chooses the part of a group twice, since one would be ignored."""
    own = GROUPS.get(group, group)
    chosen = [(own, getattr(each, "__name__", repr(each))) for each in targets]
    chosen += [(parse_override(text).key_or_group, text) for text in texts]
    first: dict[str, str] = {}
    for key, choice in chosen:
        if key in first:
            raise ConfigError(
                f"the arm {name} has {first[key]} and {choice}, and an arm has one {key}; keep one "
                "of them, or make two arms"
            )
        if key in registry.group_names():
            first[key] = choice
