"""Faults of a whole language model: how it is built and called, causality, state and sequences.

The probes of outputs use perturbed weights: a head that starts at zero would hide all faults.

Legend of shapes: batch, sequences; time, positions; vocabulary, token ids.
"""

import torch
from torch import Tensor, nn

from experiments.estimates.causality_faults import LATER_TOKENS
from experiments.estimates.inspected_module import (
    SHORTEST,
    TOLERANCE,
    WORK,
    InspectedModule,
    ModuleFault,
    copy_buffers,
    describe_training_state,
    difference,
    seed_everything,
)
from experiments.estimates.structure_faults import (
    build_own_module,
    check_parameters,
    check_second_build,
    describe_non_finite,
    name_dtype,
)
from experiments.nn.descriptions import describe_exception

N_CUTS, N_CERTAIN = 8, 3  # probed positions of a fast and of a slow model


def check_model_structure(inspected: InspectedModule) -> None:
    """Raise ModuleFault for a model that cannot be trained on sequences of the task's length."""
    own = build_own_module(inspected)
    check_parameters(own)
    check_second_build(inspected, own)
    model = _build(inspected, is_perturbed=False).train()
    _shorten(inspected, model)
    logits = _call(model, _token_ids(inspected, 1), "forward")
    if logits.dtype != torch.float32:
        raise ModuleFault(
            f"its logits are {name_dtype(logits)}; return float32, e.g. logits.float()"
        )
    if not bool(logits.isfinite().all()):
        raise ModuleFault(f"its logits have {describe_non_finite(logits)} at the start")
    if not logits.requires_grad:
        raise ModuleFault("its logits have no gradient, so its parameters cannot learn")
    logits.log_softmax(-1)[..., 0].mean().backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            raise ModuleFault(
                f"the gradient of {name.removeprefix('module.')} has "
                f"{describe_non_finite(parameter.grad)} at the start"
            )


@torch.no_grad()
def check_model_state(inspected: InspectedModule) -> None:
    """Raise ModuleFault if a second call with the same ids gives other logits in eval mode."""
    model = _build(inspected).eval()
    ids, others = (_token_ids(inspected, seed) for seed in (1, 2))
    before = _call(model, ids, "forward in eval mode")
    drawn_again = _call(model, ids, "forward in eval mode", seed=1)
    _call(model, others, "forward in eval mode")
    again = _call(model, ids, "forward in eval mode")
    if max(difference(before, each) for each in (drawn_again, again)) > TOLERANCE:
        raise ModuleFault(
            "it keeps state between calls or draws random numbers in eval mode: the same token "
            "ids give other logits in the next call"
        )


@torch.no_grad()
def check_model_sequences(inspected: InspectedModule) -> None:
    """Raise ModuleFault if the logits of a sequence depend on other sequences of the batch."""
    ids, others = (_token_ids(inspected, seed) for seed in (1, 2))
    others[0] = ids[0]
    for training in (False, True):

        def probe(model: nn.Module, dtype: torch.dtype, *, training: bool = training) -> float:  # noqa: ARG001
            model.train(training)
            own, changed = (_call(model, each, "forward") for each in (ids, others))
            return difference(own[0], changed[0], own)

        if probe(_build(inspected), torch.float32) > TOLERANCE and inspected.is_confirmed(probe):
            mode = " in training" if training else ""
            raise ModuleFault(
                f"its logits of a sequence depend on other sequences of the batch{mode}; compute "
                "each sequence on its own (LayerNorm in place of BatchNorm)"
            )


@torch.no_grad()
def check_model_causality(inspected: InspectedModule) -> None:
    """Raise ModuleFault if the logits of a position depend on later tokens."""
    length = inspected.length
    ids, others = (_token_ids(inspected, seed)[:1] for seed in (1, 2))
    steps = [length // 2, length - 1, 1, *(length * n // N_CUTS for n in range(N_CUTS))]
    cuts = list(dict.fromkeys(cut for cut in steps if 0 < cut < length))
    for training in (False, True):
        model = _build(inspected).train(training)
        before = _call(model, ids, "forward")
        mode = " in training" if training else ""
        for index, cut in enumerate(cuts):
            if index >= N_CERTAIN and inspected.is_late():
                inspected.skipped.append(f"{LATER_TOKENS} at most positions{mode}")
                break
            changed = torch.cat([ids[:, :cut], others[:, cut:]], dim=1)

            def probe(
                model: nn.Module,
                dtype: torch.dtype,  # noqa: ARG001
                *,
                training: bool = training,
                cut: int = cut,
                changed: Tensor = changed,
            ) -> float:
                model.train(training)
                own, other = (_call(model, each, "forward") for each in (ids, changed))
                return difference(own[:, :cut], other[:, :cut], own)

            after = _call(model, changed, "forward")[:, :cut]
            if difference(before[:, :cut], after, before) <= TOLERANCE:
                continue
            if inspected.is_confirmed(probe):
                position = int((before[:, :cut] - after).abs().amax(dim=(0, 2)).argmax())
                raise ModuleFault(
                    f"its logits at position {position} depend on later tokens{mode} (at position "
                    f"{cut} or later); make it causal, e.g. is_causal=True"
                )


def check_model_training(inspected: InspectedModule) -> None:
    """Raise ModuleFault if calls in training change later logits, without an optimizer step."""
    model = _build(inspected)
    ids, others = (_token_ids(inspected, seed) for seed in (1, 2))
    with torch.no_grad():
        before = _call(model.eval(), ids, "forward in eval mode")
    buffers = copy_buffers(model)
    for seed in (1, 2):
        _call(model.train(), others, "forward", seed).square().mean().backward()
    with torch.no_grad():
        after = _call(model.eval(), ids, "forward in eval mode")
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
    ids = _token_ids(inspected, 1)[:, :short]
    try:
        _call(model, ids, "forward")
    except ModuleFault:
        return
    inspected.length = short


def _build(inspected: InspectedModule, *, is_perturbed: bool = True) -> nn.Module:
    try:
        return inspected.build(is_perturbed=is_perturbed)
    except Exception as error:
        raise ModuleFault(
            f"build({inspected.d_model}) raises {describe_exception(error)}"
        ) from error


def _token_ids(inspected: InspectedModule, seed: int) -> Tensor:
    """Return random token ids (2, time)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(inspected.d_model, (2, inspected.length), generator=generator)


def _call(model: nn.Module, ids: Tensor, what: str, seed: int = 0) -> Tensor:
    """Return the logits (batch, time, vocabulary), with random numbers of this seed."""
    seed_everything(seed)
    try:
        logits: Tensor = model(ids).prediction
    except ValueError as error:  # of the adapter, whose message names the part
        raise ModuleFault(str(error).partition(": ")[2] or str(error)) from error
    except Exception as error:
        raise ModuleFault(
            f"its {what} raises {describe_exception(error)} (token ids of shape {tuple(ids.shape)})"
        ) from error
    return logits
