"""Outputs of every call are checked: in both modes, with a padding mask, and in later calls."""

import math

import pytest
import torch
from torch import nn

from experiments.estimates.inspected_module import difference
from tests.support.inspected_parts import (
    Build,
    Formula,
    Function,
    fault,
    formula,
    model_formula,
)


def in_eval(function: Function) -> Function:
    return lambda module, y: y if module.training else function(module, y)


def in_later_calls(function: Function) -> Function:
    """Apply a function from the fourth call of a module on."""

    def apply(module: nn.Module, y: torch.Tensor):
        module.count = getattr(module, "count", 0) + 1
        return function(module, y) if module.count > 3 else y

    return apply


FAULTS = {
    "NaN": (lambda _, y: y * math.nan, "NaN"),
    "one NaN": (
        lambda _, y: y.masked_fill(torch.arange(y.shape[1])[:, None] == 5, math.nan),
        "NaN",
    ),
    "infinity": (lambda _, y: y - math.inf, "infinity"),
    "another type": (lambda _, y: y.half(), "float16"),
    "another shape": (lambda _, y: y[:, :-1], "23, 16)"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("build", [formula, model_formula])
@pytest.mark.parametrize("when", [in_eval, in_later_calls])
def test_an_output_of_any_call_is_checked(name: str, build, when):
    function, words = FAULTS[name]
    message = fault("ffn" if build is formula else "language_model", build(when(function)))
    assert words in message
    assert "\n" not in message
    if when is in_eval and "shape" not in message:
        assert "in eval mode" in message


class Masked(Formula):
    """A mean over kept earlier positions, and a function of it where there is a padding mask."""

    def forward(self, x, keep=None):
        y = self.linear(x)
        if keep is None:
            return y.cumsum(1)
        mask = keep[..., None]
        return self.formula(mask, torch.where(mask, y, 0.0).cumsum(1))


def masked(function) -> Build:
    return lambda d_model: Masked(d_model, function)


MASKED = {
    "good": (lambda _, y: y, ""),
    "mean of nothing": (lambda mask, y: y / mask.cumsum(1), ""),  # before the first kept position
    "no mean at the end": (
        lambda mask, y: y / mask.flip(1).cumsum(1).flip(1),
        "has infinity in eval mode with a padding",
    ),
    "no value at padding": (lambda mask, y: y / mask, "in eval mode with a padding mask"),
    "another type": (lambda _, y: y.double(), "returns float64 in eval mode with a padding mask"),
    "gradient": (
        lambda mask, y: y + (y.detach() - y).abs().sqrt() * ~mask,
        "the gradient of its input has NaN with a padding mask",
    ),
}


@pytest.mark.parametrize("name", MASKED)
def test_an_output_with_a_padding_mask_is_checked(name: str):
    function, message = MASKED[name]
    clause = fault("attention", masked(function), is_padded=True)
    assert message in clause
    assert bool(clause) == bool(message)


def test_padding_must_be_left_out_in_training_too():
    class IgnoresMaskInTraining(Masked):
        def forward(self, x, keep=None):
            return super().forward(x, None if self.training else keep)

    clause = fault("attention", lambda d: IgnoresMaskInTraining(d, lambda _, y: y), is_padded=True)
    assert "depend on padding in training" in clause


def test_a_parameter_that_must_be_positive_has_no_fault():
    """The probes change initial weights, which must not lead to a fault of their own."""

    class LogScale(nn.Module):
        def __init__(self, _: int) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.full((100,), 0.02))

        def forward(self, x):
            return x * self.scale.log().sum()

    assert fault("ffn", LogScale) == ""


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_a_difference(value: float):
    good = torch.ones(3)
    bad = torch.tensor([1.0, value, 1.0])
    assert difference(good, bad, good) == math.inf
    assert difference(bad, good, good) == math.inf
    assert difference(good, good) == 0.0
