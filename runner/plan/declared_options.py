"""Options without a YAML file: parts and tasks whose fields all have defaults. No torch, no Hydra.

`ffn=mine` then chooses the part of kind `mine` with its defaults. A YAML file of the same name and
kind takes precedence; a file of the same name and another kind is an error.
"""

import dataclasses
from enum import Enum
from typing import Any

from runner import registry


def find_declared_options(group: str, *, load_tasks: bool = True) -> dict[str, dict[str, Any]]:
    """Return the options of a group that need no file: kind -> fields and their defaults.

    `load_tasks` is as in `registry.kinds`.
    """
    choices = {}
    for kind, options in registry.kinds(group, load_tasks=load_tasks).items():
        fields = [field for field in dataclasses.fields(options) if field.name != "kind"]
        if all(has_default(field) for field in fields):
            choices[kind] = {"kind": kind, **{field.name: default_value(field) for field in fields}}
    return choices


def explain_undeclared(group: str, name: str) -> str:
    """Return why a name that a class has registered is not an option; "" for an unknown name."""
    if group == "experiment" and (question := registry.question_classes().get(name)):
        return (
            f"the question of {question.__module__} has no YAML file; write experiment/{name}.yaml "
            "in the folder conf of its package, or below a folder for --config-dir"
        )
    options = registry.kinds(group).get(name) if group in registry.group_names() else None
    if options is None:
        return ""
    fields = [field for field in dataclasses.fields(options) if field.name != "kind"]
    missing = [field.name for field in fields if not has_default(field)]
    if not missing:
        return ""
    return (
        f"{options.__name__} in {options.__module__} has no default for {', '.join(missing)}; "
        f"write one in the class, as in size: int = 8, or a file {group}/{name}.yaml"
    )


def has_default(field: dataclasses.Field[Any]) -> bool:
    """Return whether a field of a dataclass has a default."""
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def default_value(field: dataclasses.Field[Any]) -> Any:
    """Return the default of a field as plain data, as in a YAML file."""
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    return value.value if isinstance(value, Enum) else value
