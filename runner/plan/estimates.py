"""The interface through which a plan asks `experiments` for estimates about arms. No torch.

Trials do not import this module, so its code is not in the code hash of their numbers.
"""

from collections.abc import Callable, Sequence
from typing import Any

from experiments.estimates import compatibility, memory, part_costs
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


def count_elsewhere(count_cost: Callable[[Any, int, int], Any] | None) -> None:
    """Let a function count the costs of parts without a formula; None: this process does."""
    part_costs.count_elsewhere(count_cost)


def count_part(part: Any, d_model: int, length: int) -> list[float | None]:
    """Return the cost of a part, counted in this process, as the arguments of `make_cost`.

    Raises:
        ValueError: the module cannot be built or run; the message names its fault.
    """
    return part_costs.count_part(part, d_model, length)


def make_cost(numbers: Sequence[float]) -> Any:
    """Return the `Cost` with these parameters, active ones, FLOPs and bytes."""
    return part_costs.make_cost(numbers)


def inspect_module(
    group: str, part: Any, d_model: int, length: int, *, is_padded: bool
) -> tuple[str, list[str], float]:
    """Return the fault of a part's module, skipped checks and the time limit. Imports torch.

    The fault is "" if there is none.
    """
    from experiments.estimates import module_faults

    return module_faults.inspect_module(group, part, d_model, length, is_padded=is_padded)


def find_task_fault(task: Any) -> str:
    """Return the fault of a plain task's loss or metrics; "" if there is none. Imports torch."""
    from experiments.estimates import task_faults

    return task_faults.find_task_fault(task)


def import_torch() -> None:
    """Import torch and the checks, in the process that builds modules for a plan."""
    from experiments.estimates import module_faults

    module_faults.use_one_thread()
