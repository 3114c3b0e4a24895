"""Costs of parts without a formula, as plans get them. Does not import torch, except to count."""

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Any

from experiments.parts.cost import Cost
from experiments.parts.counted_cost import CostCounter, count_in_this_process


def count_elsewhere(count_cost: Callable[[Any, int, int], Cost] | None) -> None:
    """Let a function count the costs of parts without a formula; None: count in this process."""
    CostCounter.elsewhere = count_cost


def count_part(part: Any, d_model: int, length: int) -> list[float | None]:
    """Return the cost of a part, counted in this process: the fields of `Cost`, None for NaN.

    Raises:
        ValueError: the module cannot be built or run; the message names its fault.
    """
    try:
        cost = count_in_this_process(part, d_model, length)
    except ValueError as error:
        from experiments.estimates.module_faults import find_fault

        fault = find_fault(part.group, part, d_model, length)
        reason = str(error).removeprefix(f"{part.group}={part.kind}: ")
        message = fault or f"{reason}; define cost(self, d_model, length)"
        raise ValueError(message) from error.__cause__
    return [None if math.isnan(number) else number for number in astuple(cost)]


def make_cost(numbers: Sequence[float]) -> Cost:
    """Return the cost that has these numbers as fields."""
    parameters, active, flops, kv_bytes = numbers
    return Cost(int(parameters), int(active), flops, kv_bytes)
