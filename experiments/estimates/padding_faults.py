"""The fault of a module whose outputs at kept positions depend on padding."""

import torch
from torch import Tensor, nn

from experiments.estimates.fault import ModuleFault
from experiments.estimates.inspected_module import InspectedModule, difference
from experiments.estimates.output_faults import check_gradients
from experiments.estimates.probe_tokens import (
    TokenKind,
    differs,
    draw_tokens,
    modes_and_kinds,
)
from experiments.nn.plain_module import PlainModule


def check_padding(inspected: InspectedModule) -> None:
    """Raise ModuleFault if a module mixes positions and does not leave out padding.

    One sequence has padding on its left, where a causal module would see it, and one on its right,
    as in a task. There the mask must not lead to values or gradients that are not finite either.
    """
    if inspected.length < 4:
        return
    quarter = inspected.length // 4
    module = inspected.build()
    takes_mask = inspected.group != "norm" and (
        module.takes_keep if isinstance(module, PlainModule) else True
    )
    keep = torch.ones(2, inspected.length, dtype=torch.bool)
    keep[0, :quarter] = False
    keep[1, -quarter:] = False
    mask = keep if takes_mask else None
    for training, tokens in modes_and_kinds(inspected, TokenKind):
        x, padding = draw_tokens(inspected, tokens, 2, inspected.length)
        pair = x, torch.where(keep[..., None], x, padding)

        def probe(
            module: nn.Module,
            dtype: torch.dtype,
            *,
            training: bool = training,
            pair: tuple[Tensor, Tensor] = pair,
        ) -> float:
            module.train(training)
            with torch.no_grad():
                own, changed = (inspected.call(module, each.to(dtype), mask) for each in pair)
            return difference(own[keep], changed[keep])

        if differs(inspected, tokens, probe):
            mode = " in training" if training else ""
            raise ModuleFault(describe_padding_fault(inspected, mode, takes_mask=takes_mask))
    if not takes_mask:
        return
    x, padding = draw_tokens(inspected, TokenKind.usual, 2, inspected.length)
    inputs = torch.where(keep[..., None], x, padding)[1:].requires_grad_()
    y = inspected.call(module.train(), inputs + 0.0, keep[1:])
    if y.requires_grad:
        y[keep[1:]].square().mean().backward()
        check_gradients([("its input", inputs), *module.named_parameters()], " with a padding mask")


def describe_padding_fault(inspected: InspectedModule, mode: str, *, takes_mask: bool) -> str:
    """Return the clause on a module whose outputs depend on padding."""
    if takes_mask:
        return (
            f"its outputs at kept positions depend on padding{mode}; leave out positions where "
            "keep is False"
        )
    mend = (
        "choose another norm"
        if inspected.group == "norm"
        else "write def forward(self, x, keep=None)"
    )
    return f"it mixes positions and takes no padding mask, but the task has padding{mode}; {mend}"
