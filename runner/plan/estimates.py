"""The door to what a plan asks of the science about arms. No torch.

A trial never passes it, so that the code behind a number does not depend on these answers.
"""

from typing import Any

from experiments.estimates import memory, together
from experiments.estimates.memory import Memory
from experiments.estimates.recorded import Recorded
from experiments.estimates.recorded import recorded as recorded_by
from runner import registry
from runner.config import ArmConfig


def check_together(experiment: str, chosen: dict[str, Any]) -> None:
    """Raise ValueError where parts do not fit each other, their training or the experiment."""
    together.check_together(registry.options(experiment), experiment, chosen)


def least_memory(arm: ArmConfig) -> Memory:
    """Return the memory that a trial of an arm takes at the least."""
    return memory.least(arm.options, vars(arm.parts), arm.training, arm.device)


def memory_keys(arm: ArmConfig) -> list[str]:
    """Return the keys to lower where an arm takes too much memory, those that save most first."""
    return memory.keys_to_lower(arm.options, vars(arm.parts), arm.training, arm.device)


def recorded(arm: ArmConfig) -> Recorded:
    """Return the final metrics that the trials of an arm record."""
    return recorded_by(arm.options, vars(arm.parts))
