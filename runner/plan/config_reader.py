"""From a composed config to typed objects; the schema is in `runner.config`. Imports no torch."""

import dataclasses
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner import registry
from runner.config import (
    INTEGER_LIMIT,
    SECTION_SCHEMAS,
    STUDY_KEYS,
    ArmConfig,
    ConfigError,
    Device,
    Match,
    Study,
    Training,
)
from runner.plan import arms, estimates, option_folders, value_types
from runner.plan.error_messages import as_config_error
from runner.plan.keys import field_names
from runner.wording.names import name_hint


def read_study(config: DictConfig) -> Study:
    """The typed top-level keys of a composed config; all other keys must be groups.

    Keys that were deleted on the command line are put back before (see `defaults_of_deleted_keys`).

    Raises:
        ConfigError: an unknown top-level key, a wrong type or a broken rule.
    """
    groups = {*SECTION_SCHEMAS, "model", "options", *registry.group_names()}
    for key in map(str, config):
        if key not in STUDY_KEYS and key not in groups:
            raise ConfigError(
                f"{key}: there is no such key; {name_hint(key, {*STUDY_KEYS, *groups})}"
            )
    # Resolved before the groups are left out, since a key may name one of theirs.
    present = [key for key in STUDY_KEYS if key in config]
    chosen = {key: resolved(config, key) for key in present if key != "arms"}
    if "arms" in config:
        with as_config_error("arms"):
            chosen["arms"] = arms.hide_interpolations(arms.expand_arms(config))
    whole = OmegaConf.create(chosen)
    for (
        section
    ) in SECTION_SCHEMAS:  # first, since their errors do not name the section within a study
        if section in chosen:
            to_dataclass(SECTION_SCHEMAS[section], whole[section], section)
    try:
        study: Study = to_dataclass(Study, whole, "config")
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix("config.")) from error
    return dataclasses.replace(study, arms=arms.hide_interpolations(study.arms, undo=True))


def defaults_of_deleted_keys(config: DictConfig) -> dict[str, Any]:
    """The keys that were deleted on the command line (`~figures`), as conf/config.yaml has them."""
    defaults = option_folders.read_yaml(option_folders.CONF / "config.yaml")
    return {key: defaults[key] for key in STUDY_KEYS if key not in config and key in defaults}


def resolved(config: DictConfig, key: str) -> Any:
    """The value of a key as plain data, in which every `${key}` is that key's value."""
    with as_config_error(key):
        if OmegaConf.is_missing(config, key):
            return "???"
        node = config[key]
        value = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise ConfigError(
                    f"{key}: the key {value_types.format_typed_value(name)} is no text; quote it"
                )
    return value


def read_arm(config: DictConfig) -> ArmConfig:
    """The typed arm of a composed config.

    Raises:
        ConfigError: a part that the experiment lacks, or any error of `to_dataclass` and of the rules
            across groups.
    """
    experiment = str(config.experiment)
    has = ("model", *registry.experiment_groups(experiment))
    for group in registry.group_names():
        if group not in has and config.get(group) is not None:
            raise ConfigError(
                f"{group}: experiment {experiment} has no such part; it has {', '.join(has)}. "
                f"Leave {group}= out"
            )
    parts = {
        name: to_dataclass(part_schema(name, config.get(name)), config.get(name), name)
        for name in has
    }
    options = to_dataclass(registry.options_class(experiment), config.options, "options")
    training = to_dataclass(Training, config.training, "training")
    try:
        together = {**parts, "options": options, "training": training}
        estimates.check_part_combination(experiment, together)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    offset = resolved(config, "seed_offset")
    if not isinstance(offset, int) or isinstance(offset, bool):
        raise ConfigError(f"seed_offset={offset} must be a whole number, e.g. 1000")
    try:
        check_size("seed_offset", offset)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return ArmConfig(
        experiment=experiment,
        seed_offset=offset,
        training=training,
        device=to_dataclass(Device, config.device, "device"),
        match=to_dataclass(Match, config.match, "match"),
        options=options,
        parts=SimpleNamespace(**parts),
    )


def to_dataclass(schema: type, node: Any, where: str) -> Any:
    """Turn a config node into an instance of `schema`.

    Raises:
        ConfigError: an unknown or missing key, a wrong type, or a broken rule of the dataclass.
    """
    if not isinstance(node, DictConfig):
        raise ConfigError(f"{where}={value_types.format_typed_value(node)} must be a group of keys")
    names = field_names(schema)
    for key in map(str, node):
        if key not in names:
            raise ConfigError(f"{where}.{key}: there is no such key; {name_hint(key, names)}")
    missing = [name for name in names if name not in node or OmegaConf.is_missing(node, name)]
    if missing:
        raise ConfigError(
            f"{where}.{missing[0]} has no value; give one in its YAML file or on the command line"
        )
    with as_config_error(where):  # beside its root, since a value may be ${...}
        content = OmegaConf.to_container(node, resolve=True)
    assert isinstance(content, dict)
    plain = {str(key): value for key, value in content.items()}
    try:
        for name in names:
            check_size(name, plain[name])
        value_types.check_booleans(schema, plain)
        made = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), plain))
        for name in (f.name for f in dataclasses.fields(schema) if f.type is not Any):
            value = getattr(made, name)
            check_size(name, value)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name}={value} is no finite number")
        return made
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"{where}.{value_types.describe_wrong_value(schema, plain, error)}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{where}.{error}") from error


def check_size(name: str, value: object) -> None:
    """Raise ValueError for a whole number, or one in a list, that no size or seed can be."""
    numbers = value if isinstance(value, list | ListConfig) else [value]
    for number in numbers:
        if isinstance(number, int) and abs(number) >= INTEGER_LIMIT:
            digits = int(math.log10(abs(number))) + 1
            raise ValueError(
                f"{name} is a whole number of {digits} digits; it can be {INTEGER_LIMIT - 1} at most"
            )


def part_schema(group: str, node: Any) -> type:
    """The dataclass behind a group's chosen option, by its `kind`."""
    kinds: Mapping[str, type] = registry.kinds(group)
    if node is None:
        raise ConfigError(f"{group} is not chosen; give one, e.g. {group}=<one of conf/{group}/>")
    kind = str(node.get("kind", "")) if len(kinds) > 1 or "kind" in node else next(iter(kinds))
    if kind not in kinds:
        raise ConfigError(f"{group}.kind={kind!r}: there is no such kind; {name_hint(kind, kinds)}")
    return kinds[kind]
