"""The JSON schemas of the YAML files that a user may write. Plug-ins' parts are included."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from runner import registry
from runner.claims import kinds as claim_kinds
from runner.claims.claim import DIRECTIONS
from runner.claims.headline import Headline
from runner.commands.claim_schemas import (
    by_kind,
    claim_schema,
    figure_schema,
    first_line,
    mapping_file,
    part_by_kind,
)
from runner.commands.comments import key_comments
from runner.commands.json_schema import (
    INTERPOLATION,
    Schema,
    any_of,
    closed_object,
    field_schemas,
    merge_fields,
    object_schema,
    required_fields,
    type_schema,
)
from runner.commands.sweep_schema import sweep_file_schema
from runner.config import SECTION_SCHEMAS, Study
from runner.figures import kinds as figure_kinds
from runner.plan import launchers
from runner.plan.option_folders import CONF, read_option_layers, read_yaml
from runner.wording.names import NAME

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFAULT_CLAIM = "difference"
ROOT_FILE = CONF / "config.yaml"
STUDY_FILES = ("experiment", "preset", "scale")
"""Groups whose files set keys of the whole config (`# @package _global_`)."""


def file_kinds() -> tuple[str, ...]:
    """Return the kinds of files: the folders in conf/ to which a user may add files.

    The folder of `launcher` is `hydra/launcher`.
    """
    own = (*STUDY_FILES[:2], "claims", "figures")
    return (*own, *registry.group_names(), "device", "tune", "sweep", "launcher")


def make_schema(kind: str = "") -> Schema:
    """Return the schema of the YAML files in a folder of conf/; "" for a file of any folder."""
    title = {"$schema": DIALECT, "title": f"ablab: {kind or 'any YAML file'}"}
    reference: Schema = {"$ref": f"#/$defs/{file_definition(kind)}"}
    if not kind:
        names = dict.fromkeys(map(file_definition, file_kinds()))
        reference = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
    return {**title, **reference, "$defs": definitions()}


def file_definition(kind: str) -> str:
    """Return the name of the definition of the files in a folder."""
    return "study_file" if kind in STUDY_FILES else f"{kind}_file"


def definitions() -> dict[str, Schema]:
    """Return the definitions of all files, and of their contents."""
    groups = registry.group_names()
    return {
        "interpolation": {
            "description": "the value of another key: ${key}",
            "type": "string",
            "pattern": r"^\$\{[^:]+\}$",
        },
        "defaults": {
            "description": "the options that the file extends; `_self_` is the file itself",
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "minProperties": 1,
                        "maxProperties": 1,
                        "additionalProperties": {"type": ["string", "null"]},
                    },
                ]
            },
        },
        "study_file": study_schema(),
        "claims_file": mapping_file("claim", "part_of_a_claim"),
        "figures_file": mapping_file("figure", "part_of_a_figure"),
        **{f"{group}_file": option_file(group) for group in groups},
        **{f"{section}_file": section_file(section) for section in ("device", "tune")},
        "sweep_file": sweep_file_schema(),
        "launcher_file": launcher_file_schema(),
        "claim": by_kind("claim", claim_kinds.KINDS, DEFAULT_CLAIM),
        "figure": by_kind("figure", figure_kinds.KINDS),
        "part_of_a_claim": part_by_kind("claim", claim_kinds.KINDS),
        "part_of_a_figure": part_by_kind("figure", figure_kinds.KINDS),
        **{f"claim_{kind}": claim_schema(cls) for kind, cls in claim_kinds.KINDS.items()},
        **{f"figure_{kind}": figure_schema(cls) for kind, cls in figure_kinds.KINDS.items()},
        **{
            f"{group}_{kind}": kind_schema(group, kind, cls)
            for group in groups
            for kind, cls in registry.kinds(group).items()
        },
    }


def study_schema() -> Schema:
    """Return the schema of a file of keys of the whole config, such as experiment/mine.yaml.

    `config.yaml` is one too. It alone has Hydra's own settings.
    """
    texts = key_comments(ROOT_FILE)
    sections = {**SECTION_SCHEMAS, "model": registry.kinds("model")[""]}
    fields = field_schemas(Study, texts)
    names = {"type": "array", "items": {"type": "string"}}
    choice = any_of([{"type": "string"}, names, {"type": "null"}])
    several = {
        "headline": {"type": "array", "items": object_schema(Headline)},
        "arms": {
            "type": "object",
            "propertyNames": {"pattern": f"^({NAME.pattern})$"},
            "additionalProperties": any_of([names, copy_schema(), INTERPOLATION]),
        },
        "claims": {"type": "object", "additionalProperties": {"$ref": "#/$defs/part_of_a_claim"}},
        "figures": {"type": "object", "additionalProperties": {"$ref": "#/$defs/part_of_a_figure"}},
        "workers": any_of([{"const": "auto"}, type_schema(int)]),
        "arm": choice,
        "claim": choice,
        "figure": choice,
        "options": {"type": "object"},
    }
    for name, schema in several.items():
        fields[name] = {**described(texts, name), **schema}
    for name, cls in sections.items():
        own = {key.removeprefix(f"{name}."): text for key, text in texts.items()}
        values = {"direction": DIRECTIONS}
        fields[name] = {**described(texts, name), **closed_object(field_schemas(cls, own, values))}
    for group in registry.group_names():
        fields[group] = closed_object(group_fields(group))
    fields["hydra"] = {"type": "object"}
    return {
        **closed_object({"defaults": {"$ref": "#/$defs/defaults"}, **fields}),
        "dependentRequired": {"hydra": sorted(read_yaml(ROOT_FILE).keys() - {"hydra"})},
        "allOf": [options_rule(name) for name in registry.experiment_names()],
    }


def described(texts: Mapping[str, str], name: str) -> Schema:
    """Return the description of a key, if it has one."""
    return {"description": texts[name]} if name in texts else {}


def copy_schema() -> Schema:
    """Return the schema of an arm that is an A/A pair with another arm."""
    return closed_object({"copy_of": {"type": "string"}}, ["copy_of"])


def options_rule(experiment: str) -> Schema:
    """Return the rule about `options` of a file whose page is that of an experiment."""
    options = registry.options_class(experiment)
    texts = key_comments(CONF / "experiment" / f"{experiment}.yaml")
    own = {key.removeprefix("options."): text for key, text in texts.items()}
    is_page = {"properties": {"code": {"const": experiment}}, "required": ["code"]}
    is_own = {
        "properties": {"experiment": {"const": experiment}},
        "required": ["experiment"],
        "not": {"required": ["code"]},
    }
    return {
        "if": {"anyOf": [is_page, is_own]},
        "then": {"properties": {"options": closed_object(field_schemas(options, own))}},
    }


def kind_fields(group: str, kind: str, cls: type) -> dict[str, Schema]:
    """Return the schemas of the fields of a part or task, described by its YAML file."""
    fields = field_schemas(cls, option_comments(group, kind))
    return {name: schema for name, schema in fields.items() if name != "kind"}


def option_comments(group: str, kind: str) -> dict[str, str]:
    """Return the comments of the file that sets the fields of a kind."""
    for file in sorted((CONF / group).glob("*.yaml")):
        layers = read_option_layers(f"{group}/{file.stem}")
        if layers and layers[0].get("kind") == kind:
            return key_comments(file)
    return {}


def kind_schema(group: str, kind: str, cls: Any) -> Schema:
    """Return the schema of an option file that has all fields of a part or task."""
    fields = {"kind": {"const": kind}, **kind_fields(group, kind, cls)}
    return {
        "description": first_line(cls),
        **closed_object(fields, ["kind", *required_fields(cls, without=["kind"])]),
    }


def group_fields(group: str) -> dict[str, Schema]:
    """Return the schemas of all fields that an option of a group may have."""
    kinds = registry.kinds(group)
    fields = merge_fields([kind_fields(group, kind, cls) for kind, cls in kinds.items()])
    return {"kind": {"enum": list(kinds)}, **fields}


def option_file(group: str) -> Schema:
    """Return the schema of an option's file: all fields of a kind, or changes of another option."""
    kinds = registry.kinds(group)
    extends = {"defaults": {"$ref": "#/$defs/defaults"}, **group_fields(group)}
    return {
        "type": "object",
        "if": {"required": ["defaults"]},
        "then": closed_object(extends),
        "else": by_kind(group, kinds),
    }


def launcher_file_schema() -> Schema:
    """Return the schema of a file in hydra/launcher: it extends a launcher, whose keys are free."""
    names = sorted({**launchers.PRESETS, **launchers.PLUGIN_OPTIONS})
    extends = {"type": "array", "contains": {"enum": names}, "items": {"type": "string"}}
    return {"type": "object", "properties": {"defaults": extends}, "required": ["defaults"]}


def section_file(section: str) -> Schema:
    """Return the schema of an option's file of `device` or `tune`."""
    cls: Any = SECTION_SCHEMAS[section]
    files = sorted((CONF / section).glob("*.yaml"))
    texts: dict[str, str] = {}
    for file in files:
        texts = key_comments(file) | texts
    own = field_schemas(cls, texts, {"direction": DIRECTIONS})
    fields = {"defaults": {"$ref": "#/$defs/defaults"}, **own}
    needed = [f.name for f in dataclasses.fields(cls)]
    return {
        **closed_object(fields),
        "if": {"not": {"required": ["defaults"]}},
        "then": {"required": needed},
    }
