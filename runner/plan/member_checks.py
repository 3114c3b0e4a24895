"""Checks of the values that a user's part or task returns to the engine. No torch.

They are costs, sizes, and members such as `norm_slots`. A wrong value would otherwise fail deep in
ablab's code, or pass unseen into a report.
"""

import dataclasses
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from runner import registry
from runner.config import ArmConfig, ConfigError
from runner.plan.foreign_parts import foreign_parts, is_foreign, width_of
from runner.plan.user_code import named_errors
from runner.wording.output import truncate_middle

NAMES = tuple | list | set | frozenset
"""The types of a collection of names."""
MEMBER_TYPES: Mapping[str, tuple[Any, str]] = {
    "writes_to_residual": (bool, "True or False"),
    "supports_cross_attention": (bool, "True or False"),
    "keeps_initial_weights": (bool, "True or False"),
    "sinusoids": (bool, "True or False"),
    "heads": (int, "a whole number, 0 or more"),
    "experts": (int, "a whole number, 0 or more"),
    "nonlinearity": (str | None, "the name of an activation, or None"),
    "residual_writers": (NAMES, 'a tuple of names, such as ("proj",)'),
    "norm_slots": (registry.NormSlots, "a NormSlots, from experiments.parts"),
    "notes": (tuple | list, "a tuple of sentences"),
}
"""Member of a part -> its type, and the type in words."""


def check_members(arm: ArmConfig) -> None:
    """Check the values of an arm's parts and task that are not ablab's own.

    Raises:
        ConfigError: a value has a wrong type or size; the message names the option and the member.
    """
    task = getattr(arm.parts, "task", None)
    length = 1
    with named_errors():
        if task is not None:
            length = check_sizes(task)
        for group, part in foreign_parts(arm).items():
            where = f"{group}={part.kind} ({type(part).__module__})"
            for name, (kind, words) in MEMBER_TYPES.items():
                value = getattr(part, name, None)
                is_missing = not hasattr(part, name)
                if not is_missing and not is_of_type(value, kind):
                    raise ConfigError(f"{where}: {name}={quote(value)} must be {words}")
            check_cost(where, part, width_of(arm), length)


def is_of_type(value: object, kind: Any) -> bool:
    """Return whether a value has the type of a member; numbers are 0 or more."""
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0
    if isinstance(value, NAMES) and kind is not registry.NormSlots:
        return isinstance(value, kind) and all(isinstance(each, str) for each in value)
    return isinstance(value, kind)


def check_sizes(task: Any) -> int:
    """Return the length of a task's sequences; raise ConfigError for other sizes than `Sizes`."""
    sizes = task.sizes()
    if not is_foreign(task):
        return int(sizes.length)
    where = f"task={task.kind} ({type(task).__module__}): sizes()"
    if not isinstance(sizes, registry.Sizes):
        raise ConfigError(f"{where} returned {quote(sizes)}; return Sizes, from experiments.tasks")
    for field in dataclasses.fields(sizes):
        value, least = getattr(sizes, field.name), 1
        if field.name in ("source_length", "data_bytes"):
            least = 0
        if field.name == "n_train" and value is None:
            continue
        if not isinstance(value, Integral) or value < least:
            raise ConfigError(
                f"{where} has {field.name}={quote(value)}; it must be a whole number of at least "
                f"{least}"
            )
    return int(sizes.length)


def check_cost(where: str, part: Any, d_model: int, length: int) -> None:
    """Raise ConfigError where a part's `cost` returns something that cannot be a cost."""
    if registry.has_counted_cost(part):  # the engine counts it from the module
        return
    cost = part.cost(d_model, length)
    if not isinstance(cost, registry.Cost):
        raise ConfigError(
            f"{where}: cost() returned {quote(cost)}; return Cost(parameters, active_parameters, "
            "flops_per_token), from experiments.parts"
        )
    for field in dataclasses.fields(cost):
        value = getattr(cost, field.name)
        is_unknown = (
            field.name == "kv_bytes_per_token" and isinstance(value, float) and math.isnan(value)
        )
        is_count = field.name in ("parameters", "active_parameters")
        if not is_unknown and not is_amount(value):
            raise ConfigError(
                f"{where}: cost() has {field.name}={quote(value)}; it must be a finite number of "
                "at least 0"
            )
        if is_count and value != int(value):
            raise ConfigError(f"{where}: cost() has {field.name}={value}; it must be whole")
    if cost.active_parameters > cost.parameters:
        raise ConfigError(
            f"{where}: cost() has {cost.active_parameters} active parameters of "
            f"{cost.parameters}; a token cannot use more than there are"
        )


def is_amount(value: object) -> bool:
    """Return whether a value is a finite number of at least 0."""
    return isinstance(value, Real) and math.isfinite(value) and float(value) >= 0


def quote(value: object) -> str:
    """Return a value as the user's code would write it, shortened."""
    return truncate_middle(repr(value), 60)
