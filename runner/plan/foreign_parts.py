"""Parts whose classes are not ablab's own, and their values as JSON data. No torch."""

import dataclasses
from enum import Enum
from typing import Any

from runner import registry
from runner.config import ArmConfig


def is_foreign(part: object) -> bool:
    """Return whether the class of a part is not ablab's own."""
    return not type(part).__module__.startswith("experiments.")


def foreign_parts(arm: ArmConfig) -> dict[str, Any]:
    """Return the parts of an arm whose classes are not ablab's own, by group."""
    groups = [group for group in registry.group_names() if group != "task"]
    parts = {group: getattr(arm.parts, group, None) for group in groups}
    return {group: part for group, part in parts.items() if part is not None and is_foreign(part)}


def width_of(arm: ArmConfig) -> int:
    """Return the size that parts are built for: the width, or the number of token ids."""
    model = getattr(arm.parts, "model", None)
    return int(arm.parts.task.sizes().n_outputs if model is None else model.d_model)


def whole_number_fields(part: object) -> list[str]:
    """Return the fields of a part that hold a whole number."""
    fields = dataclasses.fields(part) if dataclasses.is_dataclass(part) else ()
    return [field.name for field in fields if type(getattr(part, field.name)) is int]


def describe_part(part: Any, group: str) -> dict[str, Any]:
    """Return the names of a part's class and the values of its fields, as JSON data."""
    fields = {
        field.name: to_json(getattr(part, field.name))
        for field in dataclasses.fields(part)
        if field.name != "kind"
    }
    names = {"module": type(part).__module__, "qualname": type(part).__qualname__}
    return {"group": group, "kind": part.kind, **names, "fields": fields}


def to_json(value: Any) -> Any:
    """Return the value of a field as JSON data, with enums by name."""
    if isinstance(value, Enum):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: to_json(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {str(key): to_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    return value
