"""Faults of a module over several calls: random numbers, state, and leaks between sequences.

Each probe compares two outputs that must be equal. They differ if their largest difference is above
`TOLERANCE`, as a share of the largest output, and above rounding in float64 too.
"""

import torch
from torch import Tensor, nn

from experiments.estimates.fault import ModuleFault
from experiments.estimates.inspected_module import (
    TOLERANCE,
    InspectedModule,
    as_dtype,
    copy_buffers,
    describe_training_state,
    difference,
)
from experiments.estimates.probe_tokens import (
    TokenKind,
    differs,
    draw_tokens,
    modes_and_kinds,
)


@torch.no_grad()
def check_repeated_calls(inspected: InspectedModule) -> None:
    """Raise ModuleFault if a second call with the same input gives another output in eval mode.

    Between both calls the module is called with other inputs, also with half the length.
    """
    module = inspected.build().eval()
    x, other = (inspected.inputs(seed, 2, inspected.short_length) for seed in (1, 2))
    first = inspected.call(module, x)
    drawn_again = difference(first, inspected.call(module, x, seed=1)) > TOLERANCE
    if difference(first, inspected.call(module, x)) > TOLERANCE:
        raise ModuleFault(STATE)
    if drawn_again:
        raise ModuleFault(
            "it draws random numbers in eval mode, since two calls differ; draw them only if "
            "self.training"
        )
    inspected.call(module, other)
    if difference(first, inspected.call(module, x)) > TOLERANCE:
        raise ModuleFault(STATE)
    try:
        inspected.call(module, other[:, : inspected.short_length // 2])
        again = inspected.call(module, x)
    except Exception:
        return
    if difference(first, again) > TOLERANCE:
        raise ModuleFault(STATE)


STATE = (
    "it keeps state between calls: the same input gives another output in the next call; compute "
    "the output from the input and the parameters only"
)


def check_training_calls(inspected: InspectedModule) -> None:
    """Raise ModuleFault if calls in training change a later output, without an optimizer step."""
    module = inspected.build()
    x, other = (inspected.inputs(seed, 2, inspected.short_length) for seed in (1, 2))
    evaluated = evaluate(inspected, module, x)
    trained = inspected.call(module.train(), x).detach()
    buffers = copy_buffers(module)
    for seed in (1, 2):
        y = inspected.call(module, other.clone().requires_grad_() + 0.0, seed=seed)
        if y.requires_grad:
            y.square().mean().backward()
    is_same = difference(trained, inspected.call(module, x).detach()) <= TOLERANCE
    if is_same and difference(evaluated, evaluate(inspected, module, x)) <= TOLERANCE:
        return
    raise describe_training_state(module, buffers, "outputs")


@torch.no_grad()
def evaluate(inspected: InspectedModule, module: nn.Module, x: Tensor) -> Tensor:
    """Return the output in eval mode; the module then is in training mode."""
    y = inspected.call(module.eval(), x)
    module.train()
    return y


@torch.no_grad()
def check_other_sequences(inspected: InspectedModule) -> None:
    """Raise ModuleFault if a sequence's output depends on other sequences of its batch."""
    if inspected.is_model and inspected.d_model < 2:
        return
    n_rows = 2 if inspected.is_model else 3
    # A whole model takes longer.
    kinds = [TokenKind.usual] if inspected.is_model else [*TokenKind]
    clause = "its output for a sequence depends on other sequences of the batch"
    if inspected.is_model:
        clause = "its logits of a sequence depend on other sequences of the batch"
    for training, tokens in modes_and_kinds(inspected, kinds):
        x, others = draw_tokens(inspected, tokens, n_rows, inspected.short_length)

        def probe(
            module: nn.Module,
            dtype: torch.dtype,
            *,
            training: bool = training,
            x: Tensor = x,
            others: Tensor = others,
        ) -> float:
            module.train(training)
            own = inspected.call(module, as_dtype(x, dtype))
            largest = 0.0
            for row in range(len(x)):
                changed = others.clone()
                changed[row] = x[row]
                output = inspected.call(module, as_dtype(changed, dtype))
                largest = max(largest, difference(own[row], output[row], own))
            return largest

        if differs(inspected, tokens, probe):
            mode = " in training" if training else ""
            raise ModuleFault(
                f"{clause}{mode}; compute each sequence on its own (LayerNorm in place of "
                "BatchNorm)"
            )
