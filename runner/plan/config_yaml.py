"""The `config.yaml` of a run: the study and the resolved config of each computed arm. No torch."""

import dataclasses
from collections.abc import Sequence
from enum import Enum
from typing import Any

from omegaconf import OmegaConf

from runner.config import Study
from runner.plan.plan import PlannedArm

HEADER = """\
# The config of this run. `arms` has the overrides of each arm, as on the command line. The root has
# the sections (training, model, ...) that are equal in all computed arms, `resolved` the others.
"""


def format_config_yaml(study: Study, arms: Sequence[PlannedArm]) -> str:
    """Return a study and its computed arms as YAML, with only the sections that these arms have."""
    sections_by_arm = {arm.name: read_sections(arm) for arm in arms}
    first = next(iter(sections_by_arm.values()))
    shared = {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in sections_by_arm.values())
    }
    own_sections = {
        name: {key: value for key, value in arm_sections.items() if key not in shared}
        for name, arm_sections in sections_by_arm.items()
    }
    study_keys = {key: value for key, value in as_plain_data(study).items() if key not in first}
    content = study_keys | shared | {"resolved": own_sections}
    return HEADER + OmegaConf.to_yaml(OmegaConf.create(content), resolve=False)


def read_sections(arm: PlannedArm) -> dict[str, Any]:
    """Return all sections of an arm's config by name, and its seed offset."""
    config = arm.config
    values = {
        "seed_offset": config.seed_offset,
        "match": config.match,
        **vars(config.parts),
        "training": config.training,
        "device": dataclasses.replace(config.device, name=arm.device),
        "options": config.options,
    }
    return {name: as_plain_data(value) for name, value in values.items()}


def as_plain_data(value: Any) -> Any:
    """Return a typed value as plain data, with all of its fields."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: as_plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain_data(item) for item in value]
    return value.value if isinstance(value, Enum) else value
