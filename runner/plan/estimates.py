"""The interface through which a plan asks `experiments` for estimates about arms. No torch.

Trials do not import this module, so its code is not in the code hash of their numbers.
"""

from typing import Any

from experiments.estimates import compatibility, memory
from experiments.estimates.expected_metrics import ExpectedMetrics
from experiments.estimates.expected_metrics import list_expected_metrics as recorded_by
from experiments.estimates.memory import Memory
from runner import registry
from runner.config import ArmConfig


def check_part_combination(experiment: str, chosen: dict[str, Any]) -> None:
    """Raise ValueError if parts do not fit each other, their training or the experiment."""
    compatibility.check_compatible_options(registry.options_class(experiment), experiment, chosen)


def least_memory(arm: ArmConfig) -> Memory:
    """Return a lower bound of the memory that a trial of an arm takes."""
    return memory.estimate_lower_bound(arm.options, vars(arm.parts), arm.training, arm.device)


def memory_saving_keys(arm: ArmConfig) -> list[str]:
    """Return the keys to lower if an arm takes too much memory, largest saving first."""
    return memory.suggest_keys_to_reduce(arm.options, vars(arm.parts), arm.training, arm.device)


def expected_metrics(arm: ArmConfig) -> ExpectedMetrics:
    """Return the final metrics that the trials of an arm record."""
    return recorded_by(arm.options, vars(arm.parts))
