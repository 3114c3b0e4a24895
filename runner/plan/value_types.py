"""What kind of value a key takes: whether a value is of it, and what to say if it is not."""

import dataclasses
import re
import types
from collections.abc import Sequence
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config import ConfigError
from runner.wording.output import join_names, truncate_middle

SIMPLE = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
SEVERAL = {
    int: ("whole numbers", "[1,2]"),
    float: ("numbers", "[0.1,0.2]"),
    str: ("texts", "[a,b]"),
}


def wanted(annotation: Any) -> str:
    """The kind of value that an annotation stands for, in words."""
    if annotation in SIMPLE:
        return SIMPLE[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        kinds = [wanted(one) for one in inner if one is not type(None)]
        return " or ".join([*kinds, "null"] if type(None) in inner else kinds)
    if origin is list:
        several, example = SEVERAL.get(inner[0], ("keys with values", "[{a: b}]"))
        return f"a list of {several}, e.g. {example}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"one of {', '.join(str(one.value) for one in annotation)}"
    if origin is dict:
        return f"a key with {wanted(inner[1])}" if inner[1] is not Any else "{key: value}"
    return "a group of keys" if dataclasses.is_dataclass(annotation) else "another value"


def describe_wrong_value(
    schema: type, content: dict[str, Any], error: OmegaConfBaseException
) -> str:
    """Which key of `content` has which wrong value, and what it takes: `steps=x must be ...`."""
    key = str(getattr(error, "full_key", None) or "") or _first_misfit(schema, content)
    annotation: Any = schema
    value: Any = content
    for name in re.findall(r"[^.\[\]]+", key):
        annotation = _within(annotation, name)
        try:
            value = value[int(name) if isinstance(value, list) else name]
        except (KeyError, IndexError, TypeError, ValueError):
            break
    return f"{key}={format_typed_value(value)} must be {wanted(annotation)}"


def _first_misfit(schema: type, content: dict[str, Any]) -> str:
    """The first key whose value does not fit, where OmegaConf names none."""
    for key, value in content.items():
        try:
            OmegaConf.merge(OmegaConf.structured(schema), {key: value})
        except OmegaConfBaseException:
            return key
    return ""


def check_value_type(schemas: Sequence[type], key: str, value: Any, where: str) -> None:
    """Refuse a value that none of the schemas with this key takes.

    Raises:
        ConfigError: naming `where`, the key as it is typed.
    """
    messages = []
    for schema in schemas:
        if key not in {f.name for f in dataclasses.fields(schema)}:
            continue
        try:
            OmegaConf.merge(OmegaConf.structured(schema), {key: value})
            check_booleans(schema, {key: value})
            return
        except OmegaConfBaseException as error:
            messages.append(describe_wrong_value(schema, {key: value}, error))
        except ValueError as error:
            messages.append(str(error))
    if messages:
        prefix = where.removesuffix(key)
        raise ConfigError(prefix + messages[0])


def check_booleans(schema: type, content: dict[str, Any]) -> None:
    """Refuse numbers other than 0 and 1 where true or false is meant; ValueError names the key."""
    for name, annotation in get_type_hints(schema).items():
        value = content.get(name)
        if annotation is bool and isinstance(value, int) and value not in (0, 1):
            raise ValueError(f"{name}={value} must be true or false")


def format_typed_value(value: Any) -> str:
    """A value as one types it, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return truncate_middle(f"[{join_names([format_typed_value(one) for one in value])}]", 80)
    return truncate_middle(value, 80)


def _within(annotation: Any, name: str) -> Any:
    """The annotation of a field, an item or a value of a dictionary."""
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return get_type_hints(annotation).get(name, Any)
    inner = get_args(annotation)
    return inner[-1] if get_origin(annotation) in (list, dict) else annotation
