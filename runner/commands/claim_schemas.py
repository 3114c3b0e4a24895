"""The JSON schemas of claims and figures, whole ones and parts that change those of other files."""

from collections.abc import Mapping, Sequence
from typing import Any

from runner.claims.claim import DIRECTIONS, PUBLISHED_IS, Claim
from runner.claims.kinds.exact import RELATIONS
from runner.claims.kinds.slope import LOG_AXES
from runner.commands.json_schema import (
    NULL,
    Schema,
    any_of,
    closed_object,
    field_schemas,
    merge_fields,
    object_schema,
    or_null,
    required_fields,
)
from runner.figures import kinds as figure_kinds
from runner.figures.figure import Figure
from runner.metric_names import COSTS

CLAIM_VALUES: Mapping[str, Sequence[str]] = {
    "direction": DIRECTIONS,
    "published_is": PUBLISHED_IS[:-1],
    "equal_cost": tuple(COSTS),
    "relation": tuple(RELATIONS),
}
"""The values of claims' fields that have the type of any text."""


def mapping_file(name: str, part: str) -> Schema:
    """Return the schema of a file of claims or figures by name; it may extend another file."""
    return {
        "type": "object",
        "properties": {"defaults": {"$ref": "#/$defs/defaults"}},
        "if": {"required": ["defaults"]},
        "then": {"additionalProperties": {"$ref": f"#/$defs/{part}"}},
        "else": {"additionalProperties": {"$ref": f"#/$defs/{name}"}},
    }


def by_kind(name: str, kinds: Mapping[str, Any], default: str = "") -> Schema:
    """Return the schema of a claim or figure, whose keys are those of its kind."""
    rules: list[Schema] = [
        {
            "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
            "then": {"$ref": f"#/$defs/{name}_{kind}"},
        }
        for kind in kinds
    ]
    if default:
        rules.append(
            {
                "if": {"not": {"required": ["kind"]}},
                "then": {"$ref": f"#/$defs/{name}_{default}"},
            }
        )
    return {
        "type": "object",
        "properties": {"kind": {"enum": list(kinds)}},
        **({} if default else {"required": ["kind"]}),
        "allOf": rules,
    }


def part_by_kind(name: str, kinds: Mapping[str, Any]) -> Schema:
    """Return the schema of some keys of a claim or figure, which is written in another file."""
    fields_of = claim_fields if name == "claim" else figure_fields
    fields = merge_fields([without_required(fields_of(cls)) for cls in kinds.values()])
    return closed_object({**or_null(fields), "kind": {"enum": list(kinds)}})


def without_required(fields: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return schemas of fields whose own mappings need no key."""
    return {
        name: {key: value for key, value in schema.items() if key != "required"}
        for name, schema in fields.items()
    }


def claim_schema(cls: type[Claim]) -> Schema:
    """Return the schema of a claim of one kind."""
    required = required_fields(cls, without=["id"])
    fields = claim_fields(cls)
    optional = {name: schema for name, schema in fields.items() if name not in required}
    return {
        "description": first_line(cls),
        **closed_object({"kind": {"const": cls.kind}, **fields, **or_null(optional)}, required),
    }


def claim_fields(cls: type[Claim]) -> dict[str, Schema]:
    """Return the schemas of the fields of a claim of one kind."""
    values = {**CLAIM_VALUES, **({"log": LOG_AXES} if cls.kind == "slope" else {})}
    fields = field_schemas(cls, values=values)
    for name, nested in cls.nested_types.items():
        fields[name] = object_schema(nested, values=CLAIM_VALUES)
    return {name: schema for name, schema in fields.items() if name != "id"}


def figure_schema(cls: type[Figure]) -> Schema:
    """Return the schema of a figure of one kind; a key that only other kinds have may be null."""
    required = required_fields(cls)
    others: dict[str, Schema] = dict.fromkeys(sorted(figure_kinds.ALL_KEYS), NULL)
    fields = figure_fields(cls)
    optional = {name: schema for name, schema in fields.items() if name not in required}
    kind: Schema = {"kind": {"const": cls.kind}}
    return {
        "description": first_line(cls),
        **closed_object({**others, **kind, **fields, **or_null(optional)}, ["kind", *required]),
    }


def figure_fields(cls: type[Figure]) -> dict[str, Schema]:
    """Return the schemas of the fields of a figure of one kind; `panel` may be one column."""
    fields = field_schemas(cls)
    if "panel" in fields:
        one = {key: value for key, value in fields["panel"].items() if key != "description"}
        fields["panel"] = {**fields["panel"], **any_of([{"type": "string"}, one])}
    return fields


def first_line(cls: type) -> str:
    """Return the first line of a class's docstring."""
    return (cls.__doc__ or "").strip().split("\n")[0]
