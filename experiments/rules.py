"""Checks that several options share; each message names the field, its value and the rule."""

import re
import sys
import weakref
from collections.abc import Mapping
from dataclasses import fields
from types import CodeType, FunctionType
from typing import Any

NOT_GIVEN: Any = None
"""The default of a decorator's name, so that a name that is left out has an error of its own."""
READ_AS_VALUES = ("null", "true", "false", "nan", "inf")
"""Words that Hydra reads as a value and not as a name, in any case."""


def check_at_least(minimum: float, **values: float) -> None:
    """Raise ValueError for the first value below `minimum`, naming its field."""
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{name}={value} must be at least {minimum}")


class NameTakenError(ValueError):
    """An error for a name that the module `owner` uses already."""

    def __init__(self, message: str, owner: str) -> None:
        super().__init__(message)
        self.owner = owner


PLACES: "weakref.WeakKeyDictionary[type, tuple[CodeType, int]]" = weakref.WeakKeyDictionary()
"""Registered classes, each with the compiled code and the line that registered it."""


def check_name_is_free(
    where: str, options: type, other: type | None, has: str = "this kind"
) -> None:
    """Raise NameTakenError where `other`, the class that has a name already, is another class.

    A module that is imported twice registers the same class twice: each import compiles its code
    again. A module that has two classes registers them from the same code, in two lines.

    A decorator calls this function directly. `where` begins the message, and `has` names what both
    have.
    """
    caller = sys._getframe(2)  # applies the decorator
    place = PLACES[options] = (caller.f_code, caller.f_lineno)
    if other is None or other is options:
        return
    code, line = PLACES.get(other, (None, 0))
    is_same = (other.__module__, other.__name__) == (options.__module__, options.__name__)
    is_double = code is place[0] and line != place[1]
    if is_same and not is_double:
        return
    owner = other.__module__
    in_line = f" in line {line}" if is_double else ""
    raise NameTakenError(
        f"{where}: {owner} has {has}{in_line} already; choose another in {options.__module__}",
        owner,
    )


def check_names_are_given(decorator: str, *names: object) -> None:
    """Raise ValueError where a decorator is used without the names that it needs.

    `decorator` is how it is written, such as `@task("mine")`.
    """
    mark = decorator.partition("(")[0]
    for name in names:
        if isinstance(name, type | FunctionType):
            raise ValueError(f"{mark} on {name.__name__} has no name; write {decorator}")
        if name is None:
            raise ValueError(f"{mark} has no name; write {decorator} above the class")
        if not isinstance(name, str):
            raise ValueError(f"{mark}: {name!r} is not a name; write {decorator} above the class")


def check_is_class(decorator: str, target: object, example: str) -> None:
    """Raise ValueError where a decorator is applied to a function or an object, not to a class.

    `decorator` is how it is written, such as `@task('mine')`. `example` is the class to write.
    """
    if isinstance(target, type):
        return
    name = f"a {type(target).__name__} object"
    if isinstance(target, FunctionType):
        name = f"the function {target.__name__}"
    kind = decorator.strip("@").partition("(")[0]
    raise ValueError(
        f"{decorator} on {name}: a {kind} is a class; write {decorator}, @dataclass and {example}"
    )


def check_option_name(where: str, name: str) -> None:
    """Raise ValueError where a command or YAML could not name an option, as with `nan` or `my mlp`.

    `where` begins the message.
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", name) or name.lower() in READ_AS_VALUES:
        raise ValueError(
            f"{where}: {name!r} cannot be the name of an option; begin with a letter, use letters, "
            f"digits and _, and none of {', '.join(READ_AS_VALUES)}"
        )


def check_dataclass(where: str, options: type) -> None:
    """Raise ValueError where a class has no @dataclass of its own; that of a base does not count.

    `where` begins the message.
    """
    if "__dataclass_fields__" not in vars(options):
        raise ValueError(f"{where}: not a dataclass; write @dataclass below the decorator")


def check_former_members(where: str, options: type, new_names: Mapping[str, str]) -> None:
    """Raise ValueError where a class defines a member under its former name, which has no effect.

    `new_names` maps former names to today's. A field of a dataclass may have any name. `where`
    begins the message.
    """
    field_names = {field.name for field in fields(options)}
    for former, name in new_names.items():
        if former in vars(options) and former not in field_names:
            raise ValueError(f"{where}: {former} is now called {name}; rename it")


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
