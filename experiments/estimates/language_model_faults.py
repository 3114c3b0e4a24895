"""Faults of a whole language model: how it is built and called, causality and state.

Legend of shapes: batch, sequences; time, positions; vocabulary, token ids.
"""

from typing import Any

import torch
from torch import Tensor, nn

from experiments.estimates.inspected_module import (
    LENGTH_WITHOUT_TASK,
    LONGEST,
    TOLERANCE,
    ModuleFault,
    difference,
    seed_everything,
)
from experiments.estimates.structure_faults import check_parameters, describe_non_finite
from experiments.nn.descriptions import describe_exception
from experiments.nn.initialise import initialise

N_CUTS = 8  # positions at which later tokens are replaced


def check_language_model(part: Any, vocabulary: int, length: int) -> None:
    """Raise ModuleFault for a model that cannot be trained on sequences of this length.

    `part` has `build(vocabulary)`, which returns the adapted module.
    """
    length = min(length or LENGTH_WITHOUT_TASK, LONGEST)
    model = _build(part, vocabulary)
    check_parameters(model)
    ids, others = (_token_ids(seed, vocabulary, length) for seed in (1, 2))
    logits = _call(model.train(), ids, "forward")
    if not bool(logits.isfinite().all()):
        raise ModuleFault(f"its logits have {describe_non_finite(logits)} at the start")
    if not logits.requires_grad:
        raise ModuleFault("its logits have no gradient, so its parameters cannot learn")
    logits.mean().backward()
    model.eval()
    with torch.no_grad():
        before = _call(model, ids, "forward in eval mode")
        _call(model, others, "forward in eval mode")
        if difference(before, _call(model, ids, "forward in eval mode")) > TOLERANCE:
            raise ModuleFault(
                "it keeps state between calls or draws random numbers in eval mode: the same token "
                "ids give other logits in the next call"
            )
        _check_causality(model, ids, others, before)


def _build(part: Any, vocabulary: int) -> nn.Module:
    seed_everything(0)
    try:
        model: nn.Module = part.build(vocabulary).to("cpu")
        initialise(model, 0, gains={})
    except Exception as error:
        raise ModuleFault(f"build({vocabulary}) raises {describe_exception(error)}") from error
    return model


def _token_ids(seed: int, vocabulary: int, length: int) -> Tensor:
    """Return random token ids (2, time)."""
    return torch.randint(vocabulary, (2, length), generator=torch.Generator().manual_seed(seed))


def _call(model: nn.Module, ids: Tensor, what: str) -> Tensor:
    """Return the logits (batch, time, vocabulary)."""
    seed_everything(0)
    try:
        logits: Tensor = model(ids).prediction
    except ValueError as error:  # of the adapter, whose message names the part
        raise ModuleFault(str(error).partition(": ")[2] or str(error)) from error
    except Exception as error:
        raise ModuleFault(
            f"its {what} raises {describe_exception(error)} (token ids of shape {tuple(ids.shape)})"
        ) from error
    return logits


def _check_causality(model: nn.Module, ids: Tensor, others: Tensor, logits: Tensor) -> None:
    """Raise ModuleFault if the logits of a position depend on later tokens."""
    length = ids.shape[1]
    for cut in sorted({max(1, length * n // N_CUTS) for n in range(N_CUTS)} & {*range(1, length)}):
        changed = torch.cat([ids[:, :cut], others[:, cut:]], dim=1)
        earlier_logits = _call(model, changed, "forward in eval mode")[:, :cut]
        if difference(logits[:, :cut], earlier_logits, logits) > TOLERANCE:
            position = int((logits[:, :cut] - earlier_logits).abs().amax(dim=(0, 2)).argmax())
            raise ModuleFault(
                f"its logits at position {position} depend on later tokens (at position {cut} or "
                "later); make it causal, e.g. is_causal=True"
            )
