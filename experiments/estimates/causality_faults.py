"""Faults of a module that reads positions which it must not see: later tokens, and padding.

The causality probe replaces all tokens from a position on, and compares the outputs before it. It
does so for each position of the task's length, while time remains. Positions at the ends, in the
middle and at powers of two come first, and the others follow in random order. A leak from one token
to the previous token is found if the later of both is probed.

- In eval mode the probes are rows of a few batches, so that all rows have the same rounding.
- In training mode too. A module that draws random numbers is called once for each position, each
  time with the same numbers.
"""

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from experiments.estimates.inspected_module import (
    TOLERANCE,
    InspectedModule,
    ModuleFault,
    difference,
)
from experiments.nn.plain_module import PlainModule

LATER_TOKENS = "a look at later tokens"  # the name of the check
NUMBERS_PER_CALL = 1 << 20
MODE_SECONDS = 1.5  # of the processor, for the probes of each mode
N_CERTAIN = 3  # positions that are probed in any case
CHANGED_SIZE = 2.0  # standard deviation of the tokens that replace others


@torch.no_grad()
def check_causality(inspected: InspectedModule) -> None:
    """Raise ModuleFault if an output depends on a later token."""
    if inspected.length < 2:
        return
    cuts, n_first = order_positions(inspected.length)
    n_probed = len(cuts)
    for training in (False, True):
        module = inspected.build().train(training)
        x = inspected.inputs(1)
        is_random = difference(inspected.call(module, x), inspected.call(module, x, seed=1)) > 0
        numbers = inspected.length * inspected.d_model
        n_rows = 1 if is_random else max(1, NUMBERS_PER_CALL // numbers - 1)
        if inspected.is_late():
            n_rows = min(n_rows, N_CERTAIN)
        deadline = inspected.seconds() + MODE_SECONDS
        for start in range(0, len(cuts), n_rows):
            is_over = inspected.seconds() > deadline or inspected.is_late()
            if start >= N_CERTAIN and is_over:
                n_probed = min(n_probed, start)
                break
            leak = find_leak(inspected, module, cuts[start : start + n_rows], is_random=is_random)
            if leak is not None and is_confirmed_leak(inspected, leak[1], training=training):
                position, cut = leak
                mode = " in training" if training else ""
                raise ModuleFault(
                    f"its output at position {position} depends on later tokens{mode} (at position "
                    f"{cut} or later); make it causal, e.g. is_causal=True"
                )
    if n_probed < n_first:
        inspected.skipped.append(f"{LATER_TOKENS} at most positions")


def find_leak(
    inspected: InspectedModule,
    module: nn.Module,
    cuts: Sequence[int],
    *,
    is_random: bool,
    dtype: torch.dtype = torch.float32,
    tolerance: float = TOLERANCE,
) -> tuple[int, int] | None:
    """Return a position whose output changes, and the first changed token; None if there is none.

    With `is_random` each cut is a call of its own, so that all calls draw the same numbers.
    """
    x = inspected.inputs(1).to(dtype)
    changed = CHANGED_SIZE * inspected.inputs(3).to(dtype)
    rows = [torch.cat([x[:, :cut], changed[:, cut:]], dim=1) for cut in cuts]
    if is_random:
        base = inspected.call(module, x)
        outputs = [inspected.call(module, row) for row in rows]
    else:
        base, *outputs = inspected.call(module, torch.cat([x, *rows])).split(1)
    for cut, output in zip(cuts, outputs, strict=True):
        if difference(base[:, :cut], output[:, :cut], base) > tolerance:
            errors = (base[:, :cut] - output[:, :cut]).abs().amax(dim=(0, 2))
            return int(errors.argmax()), cut
    return None


def is_confirmed_leak(inspected: InspectedModule, cut: int, *, training: bool) -> bool:
    """Return whether a leak is larger than rounding: it exists in float64 too."""

    def probe(module: nn.Module, dtype: torch.dtype) -> float:
        module.train(training)
        x, changed = (inspected.inputs(seed).to(dtype) for seed in (1, 3))
        row = torch.cat([x[:, :cut], CHANGED_SIZE * changed[:, cut:]], dim=1)
        base = inspected.call(module, x)
        return difference(base[:, :cut], inspected.call(module, row)[:, :cut], base)

    return inspected.is_confirmed(probe)


def order_positions(length: int) -> tuple[list[int], int]:
    """Return the positions 1 to length - 1 in their order, and the number of important ones.

    Those at the ends, in the middle and at powers of two are important and come first.
    """
    first = [length // 2, length - 1, 1]
    step = 1
    while step < length:
        first += [step, step - 1, step + 1]
        step *= 2
    others = list(range(1, length))
    random.Random(0).shuffle(others)
    ordered = list(dict.fromkeys(p for p in [*first, *others] if 0 < p < length))
    return ordered, len({*first} & {*ordered})


@torch.no_grad()
def check_padding(inspected: InspectedModule) -> None:
    """Raise ModuleFault if a module mixes positions and does not leave out padding."""
    if inspected.length < 4:
        return
    module, x = inspected.build().eval(), inspected.inputs(1)
    quarter = inspected.length // 4
    takes_mask = inspected.group != "norm" and (
        module.takes_keep if isinstance(module, PlainModule) else True
    )
    keep = torch.ones(1, inspected.length, dtype=torch.bool)
    keep[:, :quarter] = False
    padded = x.clone()
    padded[:, :quarter] = CHANGED_SIZE * inspected.inputs(3)[:, :quarter]

    def probe(module: nn.Module, dtype: torch.dtype) -> float:
        module.eval()
        mask: Tensor | None = keep if takes_mask else None
        own, changed = (inspected.call(module, each.to(dtype), mask) for each in (x, padded))
        output = own[:, quarter:]
        return difference(output, changed[:, quarter:], output)

    if probe(module, torch.float32) <= TOLERANCE or not inspected.is_confirmed(probe):
        return
    if takes_mask:
        raise ModuleFault(
            "its outputs at kept positions depend on padding; leave out positions where keep is "
            "False"
        )
    raise ModuleFault(
        "it mixes positions and takes no padding mask, but the task has padding; "
        + (
            "choose another norm"
            if inspected.group == "norm"
            else "write def forward(self, x, keep=None)"
        )
    )
