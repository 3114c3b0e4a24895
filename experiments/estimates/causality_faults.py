"""Faults of a module that reads positions which it must not see: later tokens, and padding.

The causality probe replaces all tokens from a position on, and compares the outputs before it. A
leak from one token to the previous token is found only if the later of both is such a position. So
it probes, while time remains:

1. In sequences of the task's length, the positions at the ends, in the middle and at powers of two.
2. In short sequences, if the module takes them, every position.
3. In sequences of the task's length, the other positions in random order.

- In eval mode the probes are rows of a few batches, so that all rows have the same rounding.
- In training mode too. A module that draws random numbers is called once for each position, each
  time with the same numbers.
"""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from experiments.estimates.fault import ModuleFault
from experiments.estimates.inspected_module import (
    TOLERANCE,
    InspectedModule,
    as_dtype,
    difference,
)
from experiments.estimates.output_faults import check_gradients
from experiments.nn.plain_module import PlainModule

LATER_TOKENS = "a look at later tokens"  # the name of the check
NUMBERS_PER_CALL = 1 << 20
MODEL_WIDTH = 1024  # numbers of a position in a whole model, at least
MODE_SECONDS = 2.0  # of the processor, for the probes of each mode
N_CERTAIN = 3  # positions that are probed in any case
N_CONFIRMED = 3  # the largest differences of a call, of which each may be rounding
SHORT_LENGTHS = 16, 64  # positions of the sequences in which every position is probed
SHORT_WORK = 1 << 33  # parameters times positions of all short sequences


class Stage(NamedTuple):
    """Probes of sequences of one length, from each of these positions on."""

    length: int
    cuts: list[int]


@torch.no_grad()
def check_causality(inspected: InspectedModule) -> None:
    """Raise ModuleFault if an output depends on a later token."""
    if inspected.length < 2 or (inspected.is_model and inspected.d_model < 2):
        return
    stages: list[Stage] = []
    is_complete = True
    for training in (False, True):
        module = inspected.build().train(training)
        if not stages:
            stages, n_needed = plan_stages(inspected, module)
        deadline = inspected.seconds() + MODE_SECONDS
        for index, stage in enumerate(stages):
            is_first = index == 0
            if not probe_stage(inspected, module, stage, deadline, is_certain=is_first):
                is_complete = is_complete and index >= n_needed
                break
    if not is_complete:
        inspected.skipped.append(f"{LATER_TOKENS} at most positions")


def plan_stages(inspected: InspectedModule, module: nn.Module) -> tuple[list[Stage], int]:
    """Return the stages in their order, and how many of them are needed."""
    length = inspected.length
    cuts, n_first = order_positions(length)
    n_parameters = sum(each.numel() for each in module.parameters())
    least, most = SHORT_LENGTHS
    short = max(least, min(most, math.isqrt(SHORT_WORK // max(1, n_parameters))))
    if length <= short:
        return [Stage(length, cuts)], 1
    first, others = Stage(length, cuts[:n_first]), Stage(length, cuts[n_first:])
    try:
        inspected.call(module, inspected.inputs(1, length=short))
    except Exception:  # a module may serve one length only
        return [first, others], 1
    return [first, Stage(short, order_positions(short)[0]), others], 2


def probe_stage(
    inspected: InspectedModule,
    module: nn.Module,
    stage: Stage,
    deadline: float,
    *,
    is_certain: bool,
) -> bool:
    """Return whether all positions of a stage were probed before the deadline.

    With `is_certain`, the first positions are probed in any case.

    Raises:
        ModuleFault: an output depends on a later token.
    """
    x = inspected.inputs(1, length=stage.length)
    base = inspected.call(module, x)
    is_random = difference(base, inspected.call(module, x, seed=1)) > 0
    numbers = stage.length * (
        max(inspected.d_model, MODEL_WIDTH) if inspected.is_model else inspected.d_model
    )
    n_rows = 1 if is_random else max(1, NUMBERS_PER_CALL // numbers - 1)
    if inspected.is_late():
        n_rows = min(n_rows, N_CERTAIN)
    for start in range(0, len(stage.cuts), n_rows):
        is_over = inspected.seconds() > deadline or inspected.is_late()
        if is_over and not (is_certain and start < N_CERTAIN):
            return False
        cuts = stage.cuts[start : start + n_rows]
        for position, cut in find_leaks(inspected, module, x, base, cuts)[:N_CONFIRMED]:
            if is_confirmed_leak(inspected, x, cut, training=module.training):
                place = f"output at position {position} depends on later tokens"
                if inspected.is_model:
                    place = f"logits at position {position} depend on later tokens"
                mode = " in training" if module.training else ""
                of = "" if stage.length == inspected.length else f" of {stage.length}"
                raise ModuleFault(
                    f"its {place}{mode} (at position {cut} or later{of}); make it causal, e.g. "
                    "is_causal=True"
                )
    return True


def find_leaks(
    inspected: InspectedModule, module: nn.Module, x: Tensor, base: Tensor, cuts: Sequence[int]
) -> list[tuple[int, int]]:
    """Return positions whose outputs change, each with the first changed token; largest first.

    Args:
        inspected: the part of the module.
        module: the module that is called.
        x: its input (1, time, d_model).
        base: the output for x alone, to compare with a row that is alone too, so that both draw
            the same random numbers.
        cuts: the positions from which on tokens are replaced.
    """
    rows = change_tokens(inspected, x, cuts)
    if len(rows) == 1:
        outputs = inspected.call(module, rows)
    else:
        output = inspected.call(module, torch.cat([x, rows]))
        base, outputs = output[:1], output[1:]
    leaks = []
    for index, cut in enumerate(cuts):
        own, output = base[:, :cut], outputs[index : index + 1, :cut]
        size = difference(own, output, base)
        if size > TOLERANCE:
            position = int((own - output).abs().amax(dim=(0, 2)).argmax())
            leaks.append((size, position, cut))
    return [(position, cut) for _, position, cut in sorted(leaks, reverse=True)]


def change_tokens(inspected: InspectedModule, x: Tensor, cuts: Sequence[int]) -> Tensor:
    """Return a row for each position, in which the tokens of x from it on are replaced."""
    others = inspected.other_inputs(x)
    return torch.cat([torch.cat([x[:, :cut], others[:, cut:]], dim=1) for cut in cuts])


def is_confirmed_leak(inspected: InspectedModule, x: Tensor, cut: int, *, training: bool) -> bool:
    """Return whether a leak is larger than rounding: it exists in float64 too."""

    def probe(module: nn.Module, dtype: torch.dtype) -> float:
        module.train(training)
        rows = (x, change_tokens(inspected, x, [cut]))
        base, output = (inspected.call(module, as_dtype(row, dtype)) for row in rows)
        return difference(base[:, :cut], output[:, :cut], base)

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


def check_padding(inspected: InspectedModule) -> None:
    """Raise ModuleFault if a module mixes positions and does not leave out padding.

    One sequence has padding on its left, where a causal module would see it, and one on its right,
    as in a task. There the mask must not lead to values or gradients that are not finite either.
    """
    if inspected.length < 4:
        return
    quarter = inspected.length // 4
    module, x = inspected.build(), inspected.inputs(1, batch=2)
    takes_mask = inspected.group != "norm" and (
        module.takes_keep if isinstance(module, PlainModule) else True
    )
    keep = torch.ones(2, inspected.length, dtype=torch.bool)
    keep[0, :quarter] = False
    keep[1, -quarter:] = False
    mask = keep if takes_mask else None
    padded = torch.where(keep[..., None], x, inspected.other_inputs(x))
    for training in (False, True):

        def probe(module: nn.Module, dtype: torch.dtype, *, training: bool = training) -> float:
            module.train(training)
            with torch.no_grad():
                own, changed = (
                    inspected.call(module, each.to(dtype), mask) for each in (x, padded)
                )
            return difference(own[keep], changed[keep])

        if probe(module, torch.float32) > TOLERANCE and inspected.is_confirmed(probe):
            mode = " in training" if training else ""
            raise ModuleFault(describe_padding_fault(inspected, mode, takes_mask=takes_mask))
    if not takes_mask:
        return
    inputs = padded[1:].clone().requires_grad_()
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
