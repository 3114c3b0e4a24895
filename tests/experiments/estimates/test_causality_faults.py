"""A look at later tokens is found at every position of short sequences, in parts and models."""

import pytest
import torch
from torch import Tensor, nn

from experiments.estimates.causality_faults import plan_stages
from experiments.estimates.inspected_module import InspectedModule
from experiments.estimates.module_faults import find_fault, inspect_module
from tests.support.inspected_parts import (
    D_MODEL,
    FormulaModel,
    Function,
    fault,
    formula,
    model_formula,
    plain,
)


def looks_ahead(position: int, lag: int = 1, *, training: bool = True) -> Function:
    """Return a function whose output at one position depends on a later one."""

    def leak(module: nn.Module, y: Tensor) -> Tensor:
        if (module.training and not training) or y.shape[1] <= position + lag:
            return y
        one = torch.arange(y.shape[1]) == position
        return y + 0.01 * torch.roll(y, -lag, dims=1) * one[:, None]

    return leak


@pytest.mark.parametrize("position", range(23))
def test_a_model_that_looks_ahead_at_one_position_is_found(position: int):
    message = fault("language_model", model_formula(looks_ahead(position)))
    assert message.startswith(f"its logits at position {position} depend on later tokens")


@pytest.mark.parametrize("position", [0, 37, 45, 62])
@pytest.mark.parametrize(("group", "build"), [("language_model", model_formula), ("ffn", formula)])
def test_every_position_of_a_long_task_is_probed_in_short_sequences(position, group, build):
    message = fault(group, build(looks_ahead(position)), length=1500)
    assert f"at position {position} depend" in message


@pytest.mark.parametrize(("group", "build"), [("language_model", model_formula), ("ffn", formula)])
def test_all_positions_of_a_task_are_probed_by_a_fast_module(group: str, build):
    message = fault(group, build(looks_ahead(147, training=False)), length=200)
    assert "at position 147 depend" in message


def test_a_vocabulary_of_two_replaces_each_token():
    """A random token would be the same one half of the time."""
    for position in range(20):
        build = plain("language_model", model_formula(looks_ahead(position)))
        message = find_fault("language_model", build, 2, 24)
        assert f"logits at position {position} depend" in message


@pytest.mark.parametrize("vocabulary", [1, 2])
def test_a_small_vocabulary_has_no_fault(vocabulary: int):
    model = plain("language_model", model_formula(lambda _, y: y))
    assert find_fault("language_model", model, vocabulary, 24) == ""


class Dropped(FormulaModel):
    def forward(self, ids):
        return nn.functional.dropout(super().forward(ids), 0.3, self.training)


def test_a_model_that_draws_numbers_in_training_is_probed():
    assert fault("language_model", lambda v: Dropped(v, lambda _, y: y)) == ""
    message = fault("language_model", lambda v: Dropped(v, looks_ahead(19)))
    assert "at position 19 depend on later tokens" in message


def test_a_module_of_one_length_is_probed_at_this_length():
    def one_length(_: nn.Module, y: Tensor) -> Tensor:
        if y.shape[1] != 100:
            raise RuntimeError("100 positions only")
        return looks_ahead(71)(_, y)

    assert "at position 71 depend" in fault("language_model", model_formula(one_length), length=100)


def test_fast_modules_skip_no_probe():
    model = plain("language_model", model_formula(lambda _, y: y))
    assert inspect_module("language_model", model, D_MODEL, 1024)[:2] == ("", [])
    inspected = InspectedModule("language_model", model, D_MODEL, 1024)
    stages, n_needed = plan_stages(inspected, inspected.build())
    assert [stage.length for stage in stages] == [1024, 64, 1024]
    assert sorted(stages[1].cuts) == [*range(1, 64)]
    assert sorted(stages[0].cuts + stages[2].cuts) == [*range(1, 1024)]
    assert n_needed == 2


@pytest.mark.parametrize("step", [-1, 1])
@pytest.mark.parametrize(("group", "build"), [("language_model", model_formula), ("ffn", formula)])
def test_a_look_at_the_next_or_the_previous_sequence_is_found(step: int, group: str, build):
    """The first sequence, or the last one, looks at no other."""

    def mix(_: nn.Module, y: Tensor) -> Tensor:
        is_inner = torch.arange(len(y)) != (0 if step == 1 else len(y) - 1)
        return y + y.roll(step, 0) * is_inner[:, None, None]

    assert "on other sequences of the batch" in fault(group, build(mix))
