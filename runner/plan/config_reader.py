"""Readers that turn a composed config into the dataclasses of `runner.config`. No torch."""

import dataclasses
import math
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
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
from runner.plan import arms, estimates, option_folders, user_code, value_types
from runner.plan.declared_options import default_value, has_default
from runner.plan.error_messages import as_config_error
from runner.plan.keys import field_names
from runner.wording.names import name_hint


def read_study(config: DictConfig) -> Study:
    """Read the study from the top-level keys of a composed config; all other keys must be groups.

    The caller first restores keys that the command line deletes (see `defaults_of_deleted_keys`).

    Raises:
        ConfigError: a top-level key is unknown, or a value has a wrong type or breaks a rule.
    """
    groups = {*SECTION_SCHEMAS, "model", "options", *registry.group_names()}
    for key in map(str, config):
        if key not in STUDY_KEYS and key not in groups:
            raise ConfigError(
                f"{key}: there is no such key; {name_hint(key, {*STUDY_KEYS, *groups})}"
            )
    # Resolve before the groups are dropped, since ${...} may refer to a key of a group.
    present = [key for key in STUDY_KEYS if key in config]
    values = {key: resolve_value(config, key) for key in present if key != "arms"}
    if "arms" in config:
        with as_config_error("arms"):
            values["arms"] = arms.hide_interpolations(arms.expand_arms(config))
    study_config = OmegaConf.create(values)
    # Check sections on their own first: within a study, their errors do not name the section.
    for section in SECTION_SCHEMAS:
        if section in values:
            to_dataclass(SECTION_SCHEMAS[section], study_config[section], section)
    try:
        study: Study = to_dataclass(Study, study_config, "config")
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix("config.")) from error
    return dataclasses.replace(study, arms=arms.hide_interpolations(study.arms, undo=True))


def defaults_of_deleted_keys(config: DictConfig) -> dict[str, Any]:
    """Return the values in conf/config.yaml of keys that the command line deletes (`~figures`)."""
    defaults = option_folders.read_yaml(option_folders.CONF / "config.yaml")
    return {key: defaults[key] for key in STUDY_KEYS if key not in config and key in defaults}


def resolve_value(config: DictConfig, key: str) -> Any:
    """Return the value of a key as plain data, with every `${key}` replaced by that key's value."""
    with as_config_error(key):
        if OmegaConf.is_missing(config, key):
            return "???"
        node = config[key]
        value = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise ConfigError(
                    f"{key}: the key {value_types.format_typed_value(name)} is not a text; quote it"
                )
    return value


def read_arm(config: DictConfig) -> ArmConfig:
    """Read an arm from a composed config.

    Raises:
        ConfigError: the config has a part that the experiment lacks, a value breaks a rule, or
            options do not fit each other.
    """
    experiment = str(config.get("code") or config.experiment)
    groups = registry.experiment_groups(experiment)
    for group in registry.group_names():
        if group not in groups and config.get(group) is not None:
            raise ConfigError(
                f"{group}: experiment={experiment} has no such part; it has {', '.join(groups)}; "
                f"remove {group}="
            )
    parts = {
        name: to_dataclass(part_schema(name, config.get(name)), config.get(name), name)
        for name in groups
    }
    options = to_dataclass(registry.options_class(experiment), config.options, "options")
    training = to_dataclass(Training, config.training, "training")
    try:
        chosen_options = {**parts, "options": options, "training": training}
        estimates.check_part_combination(experiment, chosen_options)
    except ValueError as error:
        raise ConfigError(user_code.explain_error(error)) from error
    seed_offset = resolve_value(config, "seed_offset")
    if not isinstance(seed_offset, int) or isinstance(seed_offset, bool):
        raise ConfigError(f"seed_offset={seed_offset} must be a whole number, e.g. 1000")
    try:
        check_size("seed_offset", seed_offset)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return ArmConfig(
        experiment=experiment,
        seed_offset=seed_offset,
        training=training,
        device=to_dataclass(Device, config.device, "device"),
        match=to_dataclass(Match, config.match, "match"),
        options=options,
        parts=SimpleNamespace(**parts),
    )


def set_option_defaults(config: DictConfig) -> None:
    """Set the options of the question that a composed config lacks to the defaults of its class."""
    page, options = config.get("code") or config.get("experiment"), config._get_node("options")
    if page not in registry.experiment_names() or not isinstance(options, DictConfig):
        return  # a later check reports it
    schema: Any = registry.options_class(page)
    with open_dict(options):
        for field in dataclasses.fields(schema):
            if has_default(field) and field.name not in options:
                options[field.name] = default_value(field)


def to_dataclass(schema: type, node: Any, where: str) -> Any:
    """Convert a config node into an instance of the dataclass `schema`.

    `where` is the key of the node, for messages.

    Raises:
        ConfigError: a key is unknown or missing, or a value has a wrong type or breaks a rule.
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
            f"{where}.{missing[0]} has no value; set one in its YAML file or on the command line"
        )
    with as_config_error(where):  # while the node has its parents, as a value may be ${...}
        values_by_key = OmegaConf.to_container(node, resolve=True)
    assert isinstance(values_by_key, dict)
    values = {str(key): value for key, value in values_by_key.items()}
    try:
        for name in names:
            check_size(name, values[name])
        value_types.check_booleans(schema, values)
        instance = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), values))
        for name in (f.name for f in dataclasses.fields(schema) if f.type is not Any):
            value = getattr(instance, name)
            check_size(name, value)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name}={value} is not a finite number")
        return instance
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain_wrong_value(where, schema, values, error)) from error


def explain_wrong_value(
    where: str, schema: type, values: dict[str, Any], error: OmegaConfBaseException | ValueError
) -> str:
    """Return the message of an error on values of `schema`, perhaps from a user's class.

    `where` is the key of the values.
    """
    if isinstance(error, OmegaConfBaseException):
        # OmegaConf raises an error of its own after a TypeError in a constructor.
        origin = error.__cause__ or error.__context__
        if origin and (of_user := user_code.describe_user_error(origin, is_within=True)):
            return of_user
        return f"{where}.{value_types.describe_wrong_value(schema, values, error)}"
    # A broken rule begins with the field; other errors are named in full.
    first_word = re.match(r"\w*", str(error))
    is_rule = first_word is not None and first_word[0] in field_names(schema)
    of_user = "" if is_rule else user_code.describe_user_error(error)
    return of_user or f"{where}.{error}"


def check_size(name: str, value: object) -> None:
    """Raise ValueError if a whole number, alone or in a list, is too large for a size or seed."""
    numbers = value if isinstance(value, list | ListConfig) else [value]
    for number in numbers:
        if isinstance(number, int) and abs(number) >= INTEGER_LIMIT:
            digits = int(math.log10(abs(number))) + 1
            raise ValueError(f"{name} has {digits} digits; it must be at most {INTEGER_LIMIT - 1}")


def part_schema(group: str, node: Any) -> type:
    """Return the dataclass of a group's chosen option, by its `kind`."""
    kinds: Mapping[str, type] = registry.kinds(group)
    if node is None:
        raise ConfigError(f"{group} has no option; choose one, e.g. {group}=<one of conf/{group}/>")
    kind = str(node.get("kind", "")) if len(kinds) > 1 or "kind" in node else next(iter(kinds))
    if kind not in kinds:
        raise ConfigError(f"{group}.kind={kind!r}: there is no such kind; {name_hint(kind, kinds)}")
    return kinds[kind]
