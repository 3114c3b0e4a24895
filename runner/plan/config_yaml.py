"""A run's `config.yaml`: the study, and what each of its arms is computed with. No torch."""

import dataclasses
from collections.abc import Sequence
from enum import Enum
from typing import Any

from omegaconf import OmegaConf

from runner.config import Study
from runner.plan.plan import PlannedArm

HEADER = """\
# What this run was. `arms` are as one types them. Sections (training, model, ...) at the root are
# those that all computed arms share; `resolved` has, for each arm, the sections of its own.
"""


def format_config_yaml(study: Study, arms: Sequence[PlannedArm]) -> str:
    """Return a study and its computed arms as YAML; no section stands there that no arm has."""
    own = {arm.name: sections(arm) for arm in arms}
    first = next(iter(own.values()))
    alike = {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in own.values())
    }
    each = {
        name: {key: value for key, value in found.items() if key not in alike}
        for name, found in own.items()
    }
    of_study = {key: value for key, value in as_plain_data(study).items() if key not in first}
    content = of_study | alike | {"resolved": each}
    return HEADER + OmegaConf.to_yaml(OmegaConf.create(content), resolve=False)


def sections(arm: PlannedArm) -> dict[str, Any]:
    """Return what an arm is computed with: every section by name, and its seed offset."""
    config = arm.config
    named = {
        "seed_offset": config.seed_offset,
        "match": config.match,
        **vars(config.parts),
        "training": config.training,
        "device": dataclasses.replace(config.device, name=arm.device),
        "options": config.options,
    }
    return {name: as_plain_data(value) for name, value in named.items()}


def as_plain_data(value: Any) -> Any:
    """Return a typed value as plain data, with all of its fields."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: as_plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain_data(item) for item in value]
    return value.value if isinstance(value, Enum) else value
