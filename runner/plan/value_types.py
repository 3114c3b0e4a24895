"""Check the type of values, and describe the type that a key takes."""

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

TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
LIST_TYPES = {
    int: ("whole numbers", "[1,2]"),
    float: ("numbers", "[0.1,0.2]"),
    str: ("texts", "[a,b]"),
}


def describe_type(annotation: Any) -> str:
    """Return the type of an annotation in words."""
    if annotation in TYPE_NAMES:
        return TYPE_NAMES[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        kinds = [describe_type(each) for each in inner if each is not type(None)]
        return " or ".join([*kinds, "null"] if type(None) in inner else kinds)
    if origin is list:
        several, example = LIST_TYPES.get(inner[0], ("keys with values", "[{a: b}]"))
        return f"a list of {several}, e.g. {example}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"one of {', '.join(str(member.value) for member in annotation)}"
    if origin is dict:
        return f"a key with {describe_type(inner[1])}" if inner[1] is not Any else "{key: value}"
    return "a group of keys" if dataclasses.is_dataclass(annotation) else "another value"


def describe_wrong_value(
    schema: type, content: dict[str, Any], error: OmegaConfBaseException
) -> str:
    """Return a message about the wrong value in `content`: `steps=x must be a whole number`."""
    key = str(getattr(error, "full_key", None) or "") or _find_wrong_key(schema, content)
    annotation: Any = schema
    value: Any = content
    for name in re.findall(r"[^.\[\]]+", key):
        annotation = _inner_annotation(annotation, name)
        try:
            value = value[int(name) if isinstance(value, list) else name]
        except (KeyError, IndexError, TypeError, ValueError):
            break
    return f"{key}={format_typed_value(value)} must be {describe_type(annotation)}"


def _find_wrong_key(schema: type, content: dict[str, Any]) -> str:
    """Return the first key whose value has a wrong type; OmegaConf does not always name it."""
    for key, value in content.items():
        try:
            OmegaConf.merge(OmegaConf.structured(schema), {key: value})
        except OmegaConfBaseException:
            return key
    return ""


def check_value_type(schemas: Sequence[type], key: str, value: Any, where: str) -> None:
    """Refuse a value that no schema with this key takes.

    Raises:
        ConfigError: the message begins with `where`, the key as the user typed it.
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
    """Raise ValueError for numbers other than 0 and 1 in fields that are true or false."""
    for name, annotation in get_type_hints(schema).items():
        value = content.get(name)
        if annotation is bool and isinstance(value, int) and value not in (0, 1):
            raise ValueError(f"{name}={value} must be true or false")


def format_typed_value(value: Any) -> str:
    """Return a value as a user types it, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return truncate_middle(f"[{join_names([format_typed_value(item) for item in value])}]", 80)
    return truncate_middle(value, 80)


def _inner_annotation(annotation: Any, name: str) -> Any:
    """Return the annotation of a field, of a list's items or of a dictionary's values."""
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return get_type_hints(annotation).get(name, Any)
    inner = get_args(annotation)
    return inner[-1] if get_origin(annotation) in (list, dict) else annotation
