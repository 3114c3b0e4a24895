"""Rules for the members of classes that users register; each error is one line with a hint.

`where` begins each message. It names the decorator and the class.
"""

import dataclasses
import inspect
import types
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any, get_args, get_type_hints

CLASS_VALUE = "so that it cannot be a field; leave out its type, or write it as a ClassVar"


def check_function(where: str, name: str, function: object, arguments: Sequence[str]) -> None:
    """Raise ValueError where a member is not a function that takes these arguments.

    A coroutine or a generator is refused too, since a call does not run its code.
    """
    header = f"def {name}({', '.join(arguments)})"
    if not callable(function):
        kind = type(function).__name__
        raise ValueError(f"{where}: {name} is of type {kind} and not a function; write {header}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ValueError(
            f"{where}: {name} is a coroutine, which ablab does not await; write {header}"
        )
    if inspect.isgeneratorfunction(function):
        raise ValueError(f"{where}: {name} has a yield, so that a call runs nothing; use return")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a function of C
        return
    try:
        signature.bind(*(None for _ in arguments))
    except TypeError as error:
        raise ValueError(f"{where}: {name} takes other arguments; write {header}") from error


def check_method(where: str, options: type, name: str, arguments: Sequence[str]) -> None:
    """Raise ValueError where a member is not a method with these arguments after `self`.

    A static method and a class method serve too.
    """
    member = inspect.getattr_static(options, name)
    has_self = not isinstance(member, staticmethod | classmethod)
    header = ("self", *arguments) if has_self else arguments
    check_function(where, name, getattr(options, name), header)


def check_fields(where: str, options: type, base: type) -> None:
    """Raise ValueError where a field cannot be a key of a config, or hides a member of `base`."""
    for field in dataclasses.fields(options):
        name, member = field.name, inspect.getattr_static(base, field.name, None)
        is_function = isinstance(member, types.FunctionType)
        if is_function or isinstance(field.default, property | types.FunctionType):
            raise ValueError(f"{where}: {base.__name__} has a member {name}; rename the field")
        if not field.init:
            raise ValueError(
                f"{where}: the field {name} has init=False, so that no config can set it; write a "
                f"property {name} in its place"
            )
    parameters = set(inspect.signature(options).parameters)
    if extra := sorted(parameters - {field.name for field in dataclasses.fields(options)}):
        raise ValueError(
            f"{where}: {extra[0]} is an argument of the constructor and not a field; leave "
            "out InitVar"
        )
    check_field_types(where, options)


def check_field_types(where: str, options: type) -> None:
    """Raise ValueError where a field has a type that a config cannot hold, or a wrong default."""
    try:
        hints = get_type_hints(options)
    except (NameError, AttributeError, TypeError) as error:
        raise ValueError(f"{where}: a type of a field is unknown: {error}") from error
    for field in dataclasses.fields(options):
        # One field at a time, first without its default, so that the message can name it.
        name, hint = field.name, hints[field.name]
        if has_type(hint, bytes, PurePath) or not is_config_class([(name, hint)]):
            raise ValueError(
                f"{where}: a config cannot hold the type of {name}; use int, float, bool, "
                "str, an Enum, or a list or dict of them"
            )
        copy: Any = dataclasses.field(default=field.default)
        if field.default_factory is not dataclasses.MISSING:
            check_factory(where, name, field.default_factory)
            copy = dataclasses.field(default_factory=field.default_factory)
        if not is_config_class([(name, hint, copy)]):
            default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
            raise ValueError(f"{where}: a default has the wrong type: {name}{default}")


def check_factory(where: str, name: str, factory: Callable[[], Any]) -> None:
    """Raise ValueError where the default of a field cannot be made."""
    try:
        factory()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ValueError(f"{where}: the default_factory of {name} fails with {reason}") from error


def is_config_class(fields: Sequence[Any]) -> bool:
    """Return whether a config can hold a dataclass with these fields."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        OmegaConf.structured(dataclasses.make_dataclass("Single", fields))
    except (OmegaConfBaseException, ValueError, TypeError):
        return False
    return True


def has_type(hint: Any, *types_: type) -> bool:
    """Return whether a type is one of some types, or has one of them within its brackets."""
    is_one = isinstance(hint, type) and not get_args(hint) and issubclass(hint, types_)
    return is_one or any(has_type(each, *types_) for each in get_args(hint))


def check_no_fields(where: str, options: type, *names: str) -> None:
    """Raise ValueError where an attribute of a dataclass is a field."""
    field_names = {field.name for field in dataclasses.fields(options)}
    if found := next((name for name in names if name in field_names), None):
        raise ValueError(f"{where}: {found} belongs to the class, {CLASS_VALUE}")


def check_class_values(where: str, options: type, **allowed: type) -> None:
    """Raise ValueError where an attribute of a class has another type, or is a field."""
    check_no_fields(where, options, *allowed)
    for name, kind in allowed.items():
        value = getattr(options, name, None)
        if not isinstance(value, kind):
            word = {bool: "True or False", str: "a text", tuple: "a tuple"}.get(kind, kind.__name__)
            raise ValueError(f"{where}: {name} = {value!r} must be {word}")


def check_names(where: str, name: str, values: Any) -> tuple[str, ...]:
    """Return the texts of an attribute such as `labels`, which must differ from each other."""
    if not isinstance(values, tuple | list) or not all(isinstance(each, str) for each in values):
        example = values if isinstance(values, str) else "a"
        raise ValueError(
            f"{where}: {name} = {values!r} must be a tuple of texts, such as ({example!r},)"
        )
    if not all(each.strip() for each in values):
        raise ValueError(f"{where}: {name} = {values!r} has an empty text; leave it out")
    if double := next((each for each in values if list(values).count(each) > 1), None):
        raise ValueError(f"{where}: {name} has {double!r} twice; write each once")
    return tuple(values)
