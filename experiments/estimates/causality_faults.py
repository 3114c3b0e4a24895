"""The fault of a module that reads later tokens.

The causality probe replaces all tokens from a position on, and compares the outputs before it. A
leak from one token to the previous token is found only if the later of both is such a position. So
it probes, while time remains:

1. In sequences of the task's length, a few positions, in any case.
2. In short sequences, if the module takes them, a few positions with other kinds of tokens.
3. In sequences of the task's length, the positions at the ends and at powers of two.
4. In short sequences, every position.
5. In sequences of the task's length, the other positions in random order.

- In eval mode the probes are rows of a few batches, so that all rows have the same rounding.
- In training mode too. A module that draws random numbers is called once for each position, each
  time with the same numbers.
"""

import math
import random
from collections.abc import Mapping, Sequence
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
from experiments.estimates.probe_tokens import (
    TokenKind,
    draw_tokens,
    fitted_weights,
    kinds_of_tokens,
)

LATER_TOKENS = "a look at later tokens"  # the name of the check
NUMBERS_PER_CALL = 1 << 20
MODEL_WIDTH = 1024  # numbers of a position in a whole model, at least
MODE_SECONDS = 2.0  # of the processor, for the probes of each mode
N_CERTAIN = 3  # positions that are probed in any case
N_CONFIRMED = 3  # the largest differences of a call, of which each may be rounding
SHORT_LENGTHS = 16, 64  # positions of the sequences in which every position is probed
SHORT_WORK = 1 << 33  # parameters times positions of all short sequences
N_OF_KIND = 6  # positions that are probed with each further kind of tokens


class Stage(NamedTuple):
    """Probes of sequences of one length, from each of these positions on."""

    length: int
    cuts: list[int]
    tokens: TokenKind = TokenKind.usual


class Leak(NamedTuple):
    """A position whose output depends on tokens from the position `cut` on."""

    position: int
    cut: int


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
            if not probe_stage(inspected, module, stage, deadline, is_certain=index == 0):
                is_complete = is_complete and index >= n_needed
                break
    if not is_complete:
        inspected.skip(f"{LATER_TOKENS} at most positions")


def plan_stages(inspected: InspectedModule, module: nn.Module) -> tuple[list[Stage], int]:
    """Return the stages in their order, and how many of them are needed."""
    length = inspected.length
    cuts, n_first = order_positions(length)
    n_parameters = sum(each.numel() for each in module.parameters())
    least, most = SHORT_LENGTHS
    short = max(least, min(most, math.isqrt(SHORT_WORK // max(1, n_parameters))))
    certain = Stage(length, cuts[:N_CERTAIN])
    first, others = Stage(length, cuts[N_CERTAIN:n_first]), Stage(length, cuts[n_first:])
    if length <= short:
        kinds = stages_of_kinds(inspected, length)
        return [certain, *kinds, first, others], 3 + len(kinds)
    try:
        inspected.call(module, inspected.inputs(1, length=short))
    except Exception:  # a module may serve one length only
        kinds = stages_of_kinds(inspected, length)
        return [certain, *kinds, first, others], 2 + len(kinds)
    kinds = stages_of_kinds(inspected, short)
    every = Stage(short, order_positions(short)[0])
    return [certain, *kinds, first, every, others], 3 + len(kinds)


def stages_of_kinds(inspected: InspectedModule, length: int) -> list[Stage]:
    """Return a stage of sequences of one length for each kind of tokens but the usual one."""
    cuts = order_positions(length)[0][:N_OF_KIND]
    return [Stage(length, cuts, tokens) for tokens in kinds_of_tokens(inspected)[1:]]


def probe_stage(
    inspected: InspectedModule,
    module: nn.Module,
    stage: Stage,
    deadline: float,
    *,
    is_certain: bool,
) -> bool:
    """Return whether all positions of a stage were probed before the deadline.

    With `is_certain`, they are probed in any case. A module may refuse tokens that
    are not the usual ones, or have no finite values for them. This is not a fault.

    Raises:
        ModuleFault: an output depends on a later token.
    """
    try:
        with fitted_weights(inspected, module, stage.tokens):
            leak, is_complete = find_first_leak(
                inspected, module, stage, deadline, is_certain=is_certain
            )
    except Exception:
        if stage.tokens is TokenKind.usual:
            raise
        return True
    if leak is None:
        return is_complete
    place = f"output at position {leak.position} depends on later tokens"
    if inspected.is_model:
        place = f"logits at position {leak.position} depend on later tokens"
    mode = " in training" if module.training else ""
    of = "" if stage.length == inspected.length else f" of {stage.length}"
    raise ModuleFault(
        f"its {place}{mode} (at position {leak.cut} or later{of}); make it causal, e.g. "
        "is_causal=True"
    )


def find_first_leak(
    inspected: InspectedModule,
    module: nn.Module,
    stage: Stage,
    deadline: float,
    *,
    is_certain: bool,
) -> tuple[Leak | None, bool]:
    """Return a leak in a stage, or None, and whether all positions were probed in time."""

    def is_over() -> bool:
        return not is_certain and (inspected.seconds() > deadline or inspected.is_late())

    if is_over():
        return None, False
    x, others = draw_tokens(inspected, stage.tokens, 1, stage.length)
    base = inspected.call(module, x)
    is_random = difference(base, inspected.call(module, x, seed=1)) > 0
    numbers = stage.length * (
        max(inspected.d_model, MODEL_WIDTH) if inspected.is_model else inspected.d_model
    )
    n_rows = 1 if is_random else max(1, NUMBERS_PER_CALL // numbers - 1)
    if inspected.is_late():
        n_rows = min(n_rows, N_CERTAIN)
    for start in range(0, len(stage.cuts), n_rows):
        if is_over():
            return None, False
        rows = change_tokens(x, others, stage.cuts[start : start + n_rows])
        for leak in find_leaks(inspected, module, x, base, rows)[:N_CONFIRMED]:
            pair, training = (x, rows[leak.cut]), module.training
            if is_confirmed_leak(inspected, stage.tokens, pair, leak.cut, training=training):
                return leak, True
    return None, True


def change_tokens(x: Tensor, others: Tensor, cuts: Sequence[int]) -> dict[int, Tensor]:
    """Return for each position a row in which the tokens of x from it on are replaced."""
    return {cut: torch.cat([x[:, :cut], others[:, cut:]], dim=1) for cut in cuts}


def find_leaks(
    inspected: InspectedModule,
    module: nn.Module,
    x: Tensor,
    base: Tensor,
    rows: Mapping[int, Tensor],
) -> list[Leak]:
    """Return the positions whose outputs change, the largest change first.

    Args:
        inspected: the part of the module.
        module: the module that is called.
        x: its input (1, time, d_model).
        base: the output for x alone, to compare with a row that is alone too, so that both draw
            the same random numbers.
        rows: the position from which on tokens are replaced -> the changed input.
    """
    if len(rows) == 1:
        outputs = inspected.call(module, next(iter(rows.values())))
    else:
        output = inspected.call(module, torch.cat([x, *rows.values()]))
        base, outputs = output[:1], output[1:]
    leaks = []
    for index, cut in enumerate(rows):
        own, output = base[:, :cut], outputs[index : index + 1, :cut]
        size = difference(own, output, base)
        if size > TOLERANCE:
            position = int((own - output).abs().amax(dim=(0, 2)).argmax())
            leaks.append((size, Leak(position, cut)))
    return [leak for _, leak in sorted(leaks, reverse=True)]


def is_confirmed_leak(
    inspected: InspectedModule,
    tokens: TokenKind,
    pair: tuple[Tensor, Tensor],
    cut: int,
    *,
    training: bool,
) -> bool:
    """Return whether a leak is larger than rounding: it exists in float64 too.

    `pair` has the input and the changed one, which are equal before the position `cut`.
    """

    def probe(module: nn.Module, dtype: torch.dtype) -> float:
        module.train(training)
        with fitted_weights(inspected, module, tokens):
            base, output = (inspected.call(module, as_dtype(each, dtype)) for each in pair)
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
