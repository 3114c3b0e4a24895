"""The interface through which a plan asks `experiments` for estimates about arms. No torch.

Trials do not import this module, so its code is not in the code hash of their numbers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Any

from experiments.estimates import compatibility, memory
from experiments.estimates.counting import Cost, CostCounter, count_in_this_process
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


def import_torch() -> None:
    """Import torch, with one thread, in the process that builds modules for a plan."""
    from experiments.estimates.inspection import situation

    situation.use_one_thread()


def count_elsewhere(count_cost: Callable[[Any, int, int], Cost]) -> None:
    """Let a function count the costs of parts without a formula, in place of this process."""
    CostCounter.elsewhere = staticmethod(count_cost)


def count_part(part: Any, d_model: int, length: int) -> list[float | None]:
    """Return the cost of a part, counted in this process: the fields of `Cost`, None for NaN.

    Raises:
        ValueError: the module cannot be built or run; the message says what is wrong with it.
    """
    try:
        cost = count_in_this_process(part, d_model, length)
    except ValueError as error:
        fault = inspect_part(part.group, part, d_model, length, is_padded=False)
        reason = str(error).removeprefix(f"{part.group}={part.kind}: ")
        hint = "; define cost(self, d_model, length)"
        raise ValueError(fault or f"{reason}{hint}") from error.__cause__
    return [None if math.isnan(number) else number for number in astuple(cost)]


def make_cost(numbers: Sequence[float]) -> Cost:
    """Return the cost that has these numbers as fields."""
    parameters, active, flops, kv_bytes = numbers
    return Cost(int(parameters), int(active), flops, kv_bytes)


def inspect_part(group: str, part: Any, d_model: int, length: int, *, is_padded: bool) -> str:
    """Return what is wrong with the module of a part, in this process; "" if nothing is.

    Args:
        group: the group of the part: attention, ffn or norm.
        part: the options.
        d_model: the width of the stream.
        length: tokens of the longest sequence of the task; 0 without a task.
        is_padded: whether the task has pairs of sentences, whose batches are padded.
    """
    from experiments.estimates.inspection import faults

    return faults.find_fault(group, part, d_model, length, is_padded=is_padded)
