"""How gradients and activations are spread over the depth of a Transformer.

Legend: a layer is a block of the model; the stream is what runs from block to block: `stream[0]`
goes into the first block, `stream[i]` comes out of the i-th.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from experiments.nn.transformer import Transformer
from experiments.tasks.batch import Batch

Loss = Callable[[Tensor, Batch], Tensor]


class GradientNorms:
    """Watches training: the norm of all gradients of each layer, in every step.

    All parameters in one fused call and one transfer; the sums over a layer are plain Python. The
    oracle is `norm_by_parameter`.
    """

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """`norm/grad/layer{l}` of the gradients that are there."""
        assert isinstance(model.blocks, nn.ModuleList)
        layers = [[p.grad for p in b.parameters() if p.grad is not None] for b in model.blocks]
        return {f"norm/grad/layer{i}": norm for i, norm in enumerate(group_norms(layers))}


def group_norms(groups: Sequence[Sequence[Tensor]]) -> list[float]:
    """The Euclidean norm of all tensors of each group together; groups may be empty."""
    tensors = [tensor for group in groups for tensor in group]
    if not tensors:
        return [0.0 for _ in groups]
    norms = iter(torch.stack(torch._foreach_norm(tensors)).tolist())
    return [math.hypot(*(next(norms) for _ in group)) for group in groups]


def norm_by_parameter(model: Transformer) -> dict[str, float]:
    """The naive twin of `GradientNorms`: a transfer for each parameter."""
    found = {}
    for index, block in enumerate(model.blocks):
        norms = [p.grad.norm().item() for p in block.parameters() if p.grad is not None]
        found[f"norm/grad/layer{index}"] = sum(norm**2 for norm in norms) ** 0.5
    return found


@contextmanager
def residual_stream(model: Transformer) -> Iterator[list[Tensor]]:
    """A list that the next forward fills: the input of the first block, then each one's output."""
    stream: list[Tensor] = []

    def enter(block: nn.Module, arguments: tuple[Tensor, ...]) -> None:  # noqa: ARG001
        stream.append(arguments[0])

    def leave(block: nn.Module, arguments: Any, returned: tuple[Tensor, Any]) -> None:  # noqa: ARG001
        stream.append(returned[0])

    hooks = [model.blocks[0].register_forward_pre_hook(enter)]
    hooks += [block.register_forward_hook(leave) for block in model.blocks]
    try:
        yield stream
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class DepthProfile:
    """One backward pass seen layer by layer.

    Attributes:
        grad: norm of the gradients of all parameters of each layer.
        grad_down: the same of the matrices that end a feed-forward network, W2 of Xiong 2020, or
            of those that end attention where there is no such network.
        grad_stream: norm of the loss's derivative by the stream, one more than there are layers.
        variance: of the stream over features, averaged over kept positions; as many. It is divided
            by their number and centred: the expected squared norm of which Xiong 2020 speaks, over
            the width, is equal to it for a stream of mean 0 alone.
    """

    grad: list[float]
    grad_down: list[float]
    grad_stream: list[float]
    variance: list[float]


def depth_profile(model: Transformer, batch: Batch, loss_of: Loss) -> DepthProfile:
    """One forward and backward on the loss that a training step would take; leaves no gradients.

    That loss includes the auxiliary one of a mixture.
    """
    with residual_stream(model) as stream:
        output = model(*batch.inputs, keep=batch.keep)
    loss = loss_of(output.prediction, batch) + output.aux_loss
    named = [list(block.named_parameters()) for block in model.blocks]
    parameters = [p for layer in named for _, p in layer]
    # An expert that no token chose has no gradient.
    found = torch.autograd.grad(loss, [*parameters, *stream], allow_unused=True)
    gradients = dict(zip(parameters, found, strict=False))
    down = [
        parameters_ending_with(layer, "down.weight") or parameters_ending_with(layer, "out.weight")
        for layer in named
    ]
    kept = [x.detach().float()[batch.keep] for x in stream]

    def norms(groups: Sequence[Sequence[nn.Parameter]]) -> list[float]:
        there = [[gradients[p] for p in group] for group in groups]
        return group_norms([[g for g in group if g is not None] for group in there])

    return DepthProfile(
        grad=norms([[p for _, p in layer] for layer in named]),
        grad_down=norms(down),
        grad_stream=group_norms([[g] for g in found[len(parameters) :] if g is not None]),
        variance=[x.var(dim=-1, correction=0).mean().item() for x in kept],
    )


def parameters_ending_with(
    layer: Sequence[tuple[str, nn.Parameter]], name: str
) -> list[nn.Parameter]:
    """The parameters of a layer whose path ends with `name`."""
    return [parameter for path, parameter in layer if path.endswith(name)]


def log_slope(values: dict[int, float]) -> float:
    """The least-squares slope of log(value) against log(key); NaN where a value has no logarithm.

    In `norm_stability` a value is the gradient norm of one depth, of the loss with the auxiliary
    one of a mixture.
    """
    if not all(0 < value < math.inf for value in values.values()):
        return math.nan
    x = [math.log(key) for key in values]
    y = [math.log(value) for value in values.values()]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)
