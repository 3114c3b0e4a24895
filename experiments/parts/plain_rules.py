"""The rules for users' classes under `@part`; each error is one line that says what to write."""

import dataclasses
import types
from collections.abc import Iterator
from typing import Any

from experiments.class_rules import check_fields, check_function
from experiments.parts.base import Part

VALUES = (
    *("writes_to_residual", "supports_cross_attention", "keeps_initial_weights"),
    *("residual_writers", "norm_slots", "sinusoids", "heads", "experts", "nonlinearity"),
    "code_modules",
)
"""Optional members that are values: class attributes, fields or properties."""

METHODS = {
    "build": ("d_model",),
    "cost": ("d_model", "length"),
    "check": ("d_model",),
    "saved_activations_per_token": ("d_model",),
    "saved_activations_per_sequence": ("length",),
    "module_kwargs": (),
}
"""Members that are methods, with the names of their arguments. All except `build` are optional."""

RESERVED = ("kind", "group", "is_plain", "notes", "build_plain")
"""Names of members that the engine defines itself."""


def check_plain_class(where: str, options: type) -> None:
    """Raise ValueError where a class cannot become a part; `where` begins the message."""
    if not callable(getattr(options, "build", None)):
        raise ValueError(f"{where}: it has no build; write def build(self, d_model)")
    if "__dataclass_fields__" not in vars(options) and get_own_annotations(options):
        raise ValueError(
            f"{where}: not a dataclass; write @dataclass below the decorator, above the class"
        )
    if dataclasses.is_dataclass(options):
        _check_dataclass_options(where, options)
    check_members(where, options)
    _check_untyped_values(where, options)


def check_full_class(where: str, options: type) -> None:
    """Raise ValueError where a user's class that extends `Part` breaks a rule of its members."""
    check_members(where, options, reserved=())
    check_fields(where, options, Part)


def read_writers(name: str, value: Any) -> tuple[str, ...]:
    """Return the names in a part's `residual_writers`; `name` begins the message of an error.

    Raises:
        ValueError: the value is not a collection of names.
    """
    is_collection = isinstance(value, tuple | list | set | frozenset)
    if not is_collection or not all(isinstance(each, str) for each in value):
        names = value if isinstance(value, str) else "proj"
        raise ValueError(
            f"{name}: residual_writers={value!r} must be a tuple of names; write "
            f"residual_writers = ({names!r},)"
        )
    return tuple(value)


def get_own_annotations(options: type) -> dict[str, Any]:
    """Return the annotations of a class that could be fields, without class variables."""
    own = vars(options).get("__annotations__", {})
    return {name: hint for name, hint in own.items() if "ClassVar" not in str(hint)}


def _check_dataclass_options(where: str, options: type) -> None:
    parameters: Any = vars(options).get("__dataclass_params__") or getattr(
        options, "__dataclass_params__", None
    )
    if parameters.frozen:
        raise ValueError(f"{where}: a part is not frozen; write @dataclass without frozen=True")
    if not parameters.init:
        raise ValueError(f"{where}: a part has the __init__ of @dataclass; leave out init=False")


def check_members(where: str, options: type, reserved: tuple[str, ...] = RESERVED) -> None:
    """Check that members which the engine reads are of the kind that it expects.

    `reserved` are the names that the class cannot use.
    """
    members = dict(_own_members(options))
    for name in reserved:
        if name in members:
            raise ValueError(f"{where}: ablab defines {name} itself; rename your {name}")
    if "norm_slots" in {name for base in options.__mro__ for name in get_own_annotations(base)}:
        raise ValueError(
            f"{where}: norm_slots cannot be a field; write @property above def norm_slots(self)"
        )
    for name in VALUES:
        if isinstance(members.get(name), types.FunctionType):
            raise ValueError(f"{where}: {name} is a value; write @property above def {name}(self)")
    for name, arguments in METHODS.items():
        if name not in members:
            continue
        member = members[name]
        if not isinstance(member, types.FunctionType):
            raise ValueError(
                f"{where}: ablab calls {name} as a method, so {name} cannot be another member; "
                "rename it"
            )
        check_function(where, name, member, ("self", *arguments))


def _check_untyped_values(where: str, options: type) -> None:
    """Refuse `d_ff = 256`, which is not a field and so not a key of the config."""
    typed = {name for base in options.__mro__ for name in vars(base).get("__annotations__", {})}
    for name, value in _own_members(options):
        is_value = isinstance(value, bool | int | float | str | list | dict)
        is_public = not name.startswith("_") and not name.isupper()
        if is_value and is_public and name not in typed and name not in VALUES:
            raise ValueError(
                f"{where}: {name} has no type, so it is not a field; write "
                f"{name}: {type(value).__name__} = {value!r}, or {name}: ClassVar = {value!r}"
            )


def _own_members(options: type) -> Iterator[tuple[str, Any]]:
    """Yield the members and fields of a class and its bases by name; the first base wins.

    Classes of the engine, and the parts that it has derived from plain classes, do not count.
    """
    names: set[str] = set()
    for base in options.__mro__[:-1]:
        is_derived = "build_plain" in vars(base) and "group" in vars(base)
        if is_derived or base.__module__.startswith("experiments.parts."):
            continue
        own = {**vars(base).get("__annotations__", {}), **vars(base)}
        for name, member in own.items():
            if name not in names and not name.startswith("__"):
                names.add(name)
                yield name, member
