"""Options without a YAML file: parts whose dataclass has a default for every field. No torch.

`ffn=mine` then chooses the part of kind `mine` as it is declared; a file of this name wins.
"""

import dataclasses
from enum import Enum
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from runner import registry


class DeclaredParts(ConfigSource):
    """A place where Hydra finds the options that are declared in Python."""

    def __init__(self) -> None:
        super().__init__("declared", f"{self.scheme()}://")

    @staticmethod
    def scheme() -> str:
        """Return what stands before the path of such an option."""
        return "declared"

    def load_config(self, config_path: str) -> ConfigResult:
        """Return an option with its defaults."""
        group, _, kind = config_path.partition("/")
        node = OmegaConf.create(declared(group)[kind])
        return ConfigResult(self.provider, self.full_path(), node, {"package": None})

    def is_group(self, config_path: str) -> bool:
        """Whether a group has such options."""
        return config_path.strip("/") in registry.groups()

    def is_config(self, config_path: str) -> bool:
        """Whether there is such an option."""
        group, _, kind = config_path.partition("/")
        return group in registry.groups() and kind in declared(group)

    def available(self) -> bool:
        """Return True: nothing has to be found first."""
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the options of a group."""
        group = config_path.strip("/")
        only_groups = results_filter is ObjectType.GROUP
        return [] if only_groups or not self.is_group(group) else sorted(declared(group))


def declared(group: str) -> dict[str, dict[str, Any]]:
    """Return the options of a group that need no file: kind -> fields and their defaults."""
    found = {}
    for kind, options in registry.kinds(group).items():
        rest = [field for field in dataclasses.fields(options) if field.name != "kind"]
        if all(has_default(field) for field in rest):
            found[kind] = {"kind": kind, **{field.name: default(field) for field in rest}}
    return found


def has_default(field: dataclasses.Field[Any]) -> bool:
    """Whether a field has a value that nobody needs to give."""
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def default(field: dataclasses.Field[Any]) -> Any:
    """Return the default of a field, as a YAML file would say it."""
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    return value.value if isinstance(value, Enum) else value
