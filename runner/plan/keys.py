"""The config keys that exist, and the values that each key takes."""

import dataclasses
from typing import Any

from runner import registry
from runner.config import SECTION_SCHEMAS, STUDY_KEYS, ConfigError, Study
from runner.plan import copy_of, value_types
from runner.wording.names import did_you_mean, name_hint
from runner.wording.output import truncate_middle

SECTIONS = ("training", "match", "model", "options")
HYDRA_GROUPS = ("launcher", "sweeper")
"""Groups of Hydra, which are chosen by `hydra/launcher=` and set by `hydra.launcher.<key>=`."""
GROUPS = ("device", "scale", "tune", "experiment")


def section_schemas(section: str) -> list[type] | None:
    """Return the dataclasses that a section can have under any option; None if keys are free."""
    if section == "options":
        return list(registry.all_options())
    if section in SECTION_SCHEMAS:
        return [SECTION_SCHEMAS[section]]
    if section == "model" or section in registry.group_names():
        return list(registry.kinds(section).values())
    return None


def known_keys(section: str) -> set[str] | None:
    """Return all keys that a section can have under any option; None if its keys are free."""
    schemas = section_schemas(section)
    return None if schemas is None else {n for schema in schemas for n in field_names(schema)}


def field_names(schema: type) -> list[str]:
    """Return the keys of a dataclass."""
    return [f.name for f in dataclasses.fields(schema)]


def check_key(key: str) -> None:
    """Raise ConfigError if no option of any group has this key."""
    section, dot, field = key.partition(".")
    sections = {*STUDY_KEYS, *GROUPS, *SECTIONS, *registry.group_names()}
    if section == "preset":
        raise ConfigError(
            f"{truncate_middle(key, 80)}: a preset is chosen by experiment and scale, e.g. "
            "experiment=moe scale=full"
        )
    if section not in sections:
        name = field or section
        full_keys = full_keys_by_field().get(name)
        if section in HYDRA_GROUPS:
            full_keys = [f"hydra.{key}" if dot else f"hydra/{key}"]
        hint = did_you_mean(full_keys) if full_keys else ""
        raise ConfigError(
            f"{truncate_middle(key, 80)}: there is no such key; "
            f"{hint or name_hint(section, sections)}"
        )
    known = known_keys(section)
    if dot and known is not None and field not in known:
        hint = did_you_mean(full_keys_by_field()[field]) if field in full_keys_by_field() else ""
        hint = hint or name_hint(field, known)
        raise ConfigError(
            f"{truncate_middle(key, 80)}: no option of {section} has this key; {hint}"
        )


def check_value(key: str, value: Any) -> None:
    """Raise ConfigError if no option with this key takes the value."""
    section, dot, field = key.partition(".")
    if not dot:
        schemas = section_schemas(section)
        if schemas is None:
            if key == "arms" and isinstance(value, dict):
                value = {name: copy_of.copy_as_list(arm) or arm for name, arm in value.items()}
            value_types.check_value_type([Study], key, value, key)
        elif not isinstance(value, dict):
            raise ConfigError(
                f"{key}={truncate_middle(value, 80)}: set its keys, {key}.<key>=<value>"
            )
        elif section in registry.group_names():
            raise ConfigError(f"{key}: set its keys one by one, {key}.<key>=<value>")
        else:
            for name, item in value.items():
                check_key(f"{key}.{name}")
                check_value(f"{key}.{name}", item)
    else:
        value_types.check_value_type(section_schemas(section) or [], field, value, key)


def accepts_value(key: str, value: Any) -> bool:
    """Return whether a key takes a value of this type; a group never does."""
    if key in (*GROUPS, *registry.group_names()):
        return False
    try:
        check_value(key, value)
    except ConfigError:
        return False
    return True


def full_keys_by_field() -> dict[str, list[str]]:
    """Return for each field name its full keys in all sections: lr -> [training.lr]."""
    full_keys: dict[str, list[str]] = {}
    for section in (*SECTIONS, *GROUPS, "timing", *registry.group_names()):
        for schema in section_schemas(section) or ():
            for name in field_names(schema):
                if f"{section}.{name}" not in full_keys.setdefault(name, []):
                    full_keys[name].append(f"{section}.{name}")
    return full_keys
