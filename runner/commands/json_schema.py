"""JSON schemas (2020-12) of types and dataclasses."""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from runner.commands.comments import docstring_fields
from runner.plan.declared_options import has_default

Schema = dict[str, Any]
INTERPOLATION: Schema = {"$ref": "#/$defs/interpolation"}
NULL: Schema = {"type": "null"}
SCALARS: Mapping[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
}


def type_schema(kind: Any) -> Schema:
    """Return the schema of a type; a value may also be `${key}`, the value of another key."""
    origin, members = get_origin(kind), get_args(kind)
    if kind in SCALARS:
        return SCALARS[kind] if kind is str else any_of([SCALARS[kind], INTERPOLATION])
    if kind is None or kind is type(None):
        return NULL
    if origin is Literal:
        return choice_schema(members)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return choice_schema([member.value for member in kind])
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return object_schema(kind)
    if origin in (typing.Union, types.UnionType):
        return any_of([type_schema(member) for member in members])
    if origin is list or (origin is tuple and members[-1:] == (Ellipsis,)):
        return any_of([{"type": "array", "items": type_schema(members[0])}, INTERPOLATION])
    if origin is tuple:
        return {
            "type": "array",
            "prefixItems": [type_schema(member) for member in members],
            "minItems": len(members),
            "maxItems": len(members),
        }
    if origin is dict:
        return {"type": "object", "additionalProperties": type_schema(members[1])}
    return {}


def choice_schema(values: Sequence[Any]) -> Schema:
    """Return the schema of one of some values."""
    return any_of([{"enum": list(values)}, INTERPOLATION])


def any_of(schemas: Sequence[Schema]) -> Schema:
    """Return the schema of a value that one of some schemas accepts."""
    flat: list[Schema] = []
    for schema in schemas:
        flat += schema["anyOf"] if list(schema) == ["anyOf"] else [schema]
    distinct = [schema for i, schema in enumerate(flat) if schema not in flat[:i]]
    if {} in distinct:
        return {}
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def field_schemas(
    cls: Any, texts: Mapping[str, str] | None = None, values: Mapping[str, Sequence[str]] = {}
) -> dict[str, Schema]:
    """Return the schema of each field of a dataclass.

    Args:
        cls: the dataclass.
        texts: the descriptions of fields; those of its docstring are added.
        values: the values that a field allows, if its type does not have them.
    """
    hints = typing.get_type_hints(cls)
    descriptions = {**docstring_fields(cls), **(texts or {})}
    schemas = {}
    for field in dataclasses.fields(cls):
        schema = type_schema(hints[field.name])
        if field.name in values:
            optional = [NULL] if type(None) in get_args(hints[field.name]) else []
            schema = any_of([choice_schema(values[field.name]), *optional])
        described = {"description": descriptions[field.name]} if field.name in descriptions else {}
        schemas[field.name] = {**described, **schema}
    return schemas


def object_schema(
    cls: Any, texts: Mapping[str, str] | None = None, values: Mapping[str, Sequence[str]] = {}
) -> Schema:
    """Return the schema of a mapping with the fields of a dataclass, without other keys."""
    return closed_object(field_schemas(cls, texts, values), required_fields(cls))


def closed_object(properties: Mapping[str, Schema], required: Sequence[str] = ()) -> Schema:
    """Return the schema of a mapping that has no other keys."""
    names = {"required": list(required)} if required else {}
    return {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
        **names,
    }


def required_fields(cls: Any, without: Sequence[str] = ()) -> list[str]:
    """Return the fields of a dataclass that have no default."""
    fields = dataclasses.fields(cls)
    return [f.name for f in fields if not has_default(f) and f.name not in without]


def merge_fields(tables: Sequence[Mapping[str, Schema]]) -> dict[str, Schema]:
    """Return the schemas of all fields of several tables: a value fits one of its schemas."""
    merged: dict[str, list[Schema]] = {}
    for table in tables:
        for name, schema in table.items():
            merged.setdefault(name, []).append(schema)
    fields = {}
    for name, schemas in merged.items():
        text = next((each["description"] for each in schemas if "description" in each), None)
        bare = [{k: v for k, v in each.items() if k != "description"} for each in schemas]
        fields[name] = {**({"description": text} if text else {}), **any_of(bare)}
    return fields


def or_null(fields: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return the schemas of fields that may also be null, which removes a key."""
    table = {}
    for name, schema in fields.items():
        text = {"description": schema["description"]} if "description" in schema else {}
        bare = {key: value for key, value in schema.items() if key != "description"}
        table[name] = {**text, **any_of([bare, NULL])}
    return table
