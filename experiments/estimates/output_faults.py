"""Faults of the output of a module: its kind, shape, type, and values that are not finite."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from experiments.estimates.fault import ModuleFault
from experiments.nn.descriptions import describe_value


def take_output(result: Any, group: str, where: str = "") -> Tensor:
    """Return the output of a part, which its group returns alone or with a routing.

    `where` is added to the message, such as " in eval mode".

    Raises:
        ModuleFault: the result is something else.
    """
    y = result
    if group == "ffn":
        if not isinstance(result, tuple) or len(result) != 2:
            raise ModuleFault(
                f"its forward returns {describe_value(result)}{where}; a feed-forward Part returns "
                "(y, routing), or (y, None) without a router"
            )
        y = result[0]
    if not isinstance(y, Tensor):
        raise ModuleFault(
            f"its forward returns {describe_value(y)}{where}; return a tensor of the input's shape"
        )
    return y


def check_output(y: Tensor, x: Tensor, where: str = "") -> None:
    """Raise ModuleFault unless the output of a part has the shape and the type of its input."""
    if y.shape != x.shape:
        raise ModuleFault(
            f"it returns the shape {tuple(y.shape)}{where} for an input of shape {tuple(x.shape)}; "
            "both must be equal"
        )
    # Some modules compute in float32 only. Checks in float64 find out whether rounding is a reason.
    if x.dtype == torch.float32 and y.dtype != x.dtype:
        raise ModuleFault(
            f"it returns {name_dtype(y)}{where} for an input of {name_dtype(x)}; return the "
            "input's type, e.g. y.to(x.dtype)"
        )


def check_finite_values(y: Tensor, what: str, where: str, shape: Iterable[int]) -> None:
    """Raise ModuleFault if an output is not finite for a random input of this shape.

    Args:
        y: the output.
        what: its name with a verb, such as "output has".
        where: words on the call, such as " in eval mode".
        shape: the shape of the input.
    """
    if not bool(y.isfinite().all()):
        raise ModuleFault(
            f"its {what} {describe_non_finite(y)}{where} for random input of shape {tuple(shape)}"
        )


def check_gradients(tensors: Iterable[tuple[str, Tensor]], where: str) -> None:
    """Raise ModuleFault if a gradient is not finite; `tensors` are names with tensors."""
    for name, tensor in tensors:
        if tensor.grad is not None and not bool(tensor.grad.isfinite().all()):
            raise ModuleFault(
                f"the gradient of {name.removeprefix('module.')} has "
                f"{describe_non_finite(tensor.grad)}{where}"
            )


def describe_non_finite(tensor: Tensor) -> str:
    """Return "NaN" if a tensor has one, else "infinity"."""
    return "NaN" if bool(tensor.isnan().any()) else "infinity"


def name_dtype(tensor: Tensor) -> str:
    """Return the type of a tensor's numbers, such as float32."""
    return str(tensor.dtype).removeprefix("torch.")
