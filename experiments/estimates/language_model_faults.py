"""Faults of a whole language model: how it is built and called, its state, changes in training.

The probes of outputs use perturbed weights: a head that starts at zero would hide all faults.

Legend of shapes: batch, sequences; time, positions; vocabulary, token ids.
"""

import torch
from torch import nn

from experiments.estimates.fault import ModuleFault
from experiments.estimates.inspected_module import (
    SHORTEST,
    TOLERANCE,
    WORK,
    InspectedModule,
    copy_buffers,
    describe_training_state,
    difference,
    own_module,
)
from experiments.estimates.output_faults import check_gradients
from experiments.estimates.registration_faults import check_hidden
from experiments.estimates.structure_faults import (
    build_own_module,
    check_parameters,
    check_second_build,
)
from experiments.nn.descriptions import describe_exception


def check_model_structure(inspected: InspectedModule) -> None:
    """Raise ModuleFault for a model that cannot be trained on sequences of the task's length."""
    own = build_own_module(inspected)
    check_parameters(own)
    check_second_build(inspected, own)
    model = _build(inspected, is_perturbed=False).train()
    _shorten(inspected, model)
    ids = inspected.inputs(1, batch=2)
    check_hidden(own_module(model), lambda training: inspected.call(model.train(training), ids))
    logits = inspected.call(model.train(), ids)
    if not logits.requires_grad:
        raise ModuleFault("its logits have no gradient, so its parameters cannot learn")
    logits.log_softmax(-1)[..., 0].mean().backward()
    check_gradients(model.named_parameters(), " at the start")
    inspected.choose_weights(model)


@torch.no_grad()
def check_model_state(inspected: InspectedModule) -> None:
    """Raise ModuleFault if a second call with the same ids gives other logits in eval mode."""
    model = _build(inspected).eval()
    ids, others = (inspected.inputs(seed, batch=2) for seed in (1, 2))
    before = inspected.call(model, ids)
    drawn_again = inspected.call(model, ids, seed=1)
    inspected.call(model, others)
    again = inspected.call(model, ids)
    if max(difference(before, each) for each in (drawn_again, again)) > TOLERANCE:
        raise ModuleFault(
            "it keeps state between calls or draws random numbers in eval mode: the same token "
            "ids give other logits in the next call"
        )


def check_model_training(inspected: InspectedModule) -> None:
    """Raise ModuleFault if calls in training change later logits, without an optimizer step."""
    model = _build(inspected)
    ids, others = (inspected.inputs(seed, batch=2) for seed in (1, 2))
    with torch.no_grad():
        before = inspected.call(model.eval(), ids)
    buffers = copy_buffers(model)
    for seed in (1, 2):
        inspected.call(model.train(), others, seed=seed).square().mean().backward()
        check_gradients(model.named_parameters(), " in a later call")
    with torch.no_grad():
        after = inspected.call(model.eval(), ids)
    if difference(before, after) <= TOLERANCE:
        return
    raise describe_training_state(model, buffers, "logits")


@torch.no_grad()
def _shorten(inspected: InspectedModule, model: nn.Module) -> None:
    """Choose a shorter length for a large model, if it serves one."""
    n_parameters = sum(each.numel() for each in model.parameters())
    short = max(SHORTEST, WORK // max(1, n_parameters))
    if short >= inspected.length:
        return
    try:
        inspected.call(model, inspected.inputs(1, batch=2, length=short))
    except ModuleFault:
        return
    inspected.length = inspected.short_length = short


def _build(inspected: InspectedModule, *, is_perturbed: bool = True) -> nn.Module:
    try:
        return inspected.build(is_perturbed=is_perturbed)
    except Exception as error:
        raise ModuleFault(
            f"build({inspected.d_model}) raises {describe_exception(error)}"
        ) from error
