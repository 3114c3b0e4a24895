"""All options that can be chosen, with their descriptions, fields and origins. No torch."""

import dataclasses
import importlib.metadata
import sys
from pathlib import Path
from typing import Any, NamedTuple

from runner import registry
from runner.commands.comments import first_sentence, header_of
from runner.plan import option_folders
from runner.plan.declared_options import default_value, has_default
from runner.plan.security import check_yaml_file

OURS = "ablab"
PACKAGES = ("site-packages", "dist-packages")
"""Names of folders of installed packages."""


class Option(NamedTuple):
    """An option of a group, such as `ffn=swiglu`.

    Attributes:
        description: a sentence about it; "" if its author wrote none.
        fields: its fields and their defaults.
        origin: `ablab`, a file, or a package with its version.
        sources: the YAML file and the class behind it.
    """

    group: str
    name: str
    description: str
    fields: dict[str, Any]
    origin: str
    sources: tuple[str, ...]


def list_options(group: str) -> list[Option]:
    """Return the options of a group by name: from YAML files, then from classes without a file.

    Raises:
        ConfigError: a file of the user is refused.
    """
    return [describe_option(group, name) for name in sorted(option_folders.option_names(group))]


def describe_option(group: str, name: str) -> Option:
    """Return an option of a group."""
    file = option_folders.user_file(f"{group}/{name}")
    if file is not None:
        option_folders.check_inside(file, file.parents[1])
        check_yaml_file(file)
    else:
        shipped = option_folders.CONF / group / f"{name}.yaml"
        file = shipped if shipped.is_file() else None
    fields: dict[str, Any] = {}
    for layer in reversed(option_folders.read_option_layers(f"{group}/{name}")):
        fields |= {key: value for key, value in layer.items() if key != "defaults"}
    kind = str(fields.pop("kind", name))
    options = registry.kinds(group).get(kind) if group in registry.group_names() else None
    if options is not None:
        fields = class_defaults(options) | fields
    question = str(fields.get("question") or "") if group == "experiment" else ""
    description = question or (first_sentence(header_of(file)) if file else describe_class(options))
    origins = [describe_file(file)] if file else []
    if options is not None and (not file or class_origin(options) != OURS):
        origins.append(class_origin(options))
    sources = [str(path_in_project(file))] if file else []
    if options is not None:
        sources.append(f"{options.__module__}.{options.__qualname__}")
    return Option(
        group,
        name,
        description,
        fields,
        ", ".join(dict.fromkeys(origins)),
        tuple(sources),
    )


def class_defaults(options: type) -> dict[str, Any]:
    """Return the defaults of the fields of a dataclass, as in a YAML file."""
    return {
        field.name: default_value(field)
        for field in dataclasses.fields(options)
        if field.name != "kind" and has_default(field)
    }


def describe_class(options: type | None) -> str:
    """Return the first sentence of a class's own docstring, which `dataclass` may have written."""
    text = " ".join((options.__doc__ or "").split()) if options else ""
    return "" if options and text.startswith(f"{options.__name__}(") else first_sentence(text)


def describe_file(file: Path) -> str:
    """Return `ablab` for a file of its conf/; else the path of the user's file."""
    return OURS if file.is_relative_to(option_folders.CONF) else str(file)


def path_in_project(file: Path) -> Path:
    """Return the path of a file of conf/ without the folder of ablab; any other path as it is."""
    conf = option_folders.CONF
    return file.relative_to(conf.parent) if file.is_relative_to(conf) else file


def class_origin(options: type) -> str:
    """Return where the module of a class comes from.

    It is `ablab`, the name and version of an installed package, or the module's file.
    """
    top = options.__module__.partition(".")[0]
    if top in ("experiments", "runner"):
        return OURS
    path = Path(getattr(sys.modules[options.__module__], "__file__", None) or "")
    if set(PACKAGES) & set(path.parts):
        for package in importlib.metadata.packages_distributions().get(top, ()):
            return f"{package} {importlib.metadata.version(package)}"
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
