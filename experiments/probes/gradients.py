"""Gradients and activations over the depth of a Transformer.

Legend: a layer is a block of the model. The stream is the residual stream between blocks:
`stream[0]` is the input of the first block, and `stream[i]` the output of the i-th.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from experiments.nn.adapter import Adapter
from experiments.nn.transformer import Transformer
from experiments.tasks.batch import Batch

Loss = Callable[[Tensor, Batch], Tensor]


class GradientNorms:
    """A step probe of the gradient norm of each layer, in every training step.

    One fused call computes the norms of all parameters, and one transfer reads them. Plain Python
    combines those of a layer. The test oracle is `norm_by_parameter`.
    """

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Return `norm/grad/layer{l}`; parameters without a gradient are left out."""
        assert isinstance(model.blocks, nn.ModuleList)
        layers = [[p.grad for p in b.parameters() if p.grad is not None] for b in model.blocks]
        return {f"norm/grad/layer{i}": norm for i, norm in enumerate(group_norms(layers))}


def group_norms(groups: Sequence[Sequence[Tensor]]) -> list[float]:
    """Return the Euclidean norm of all tensors of each group together; groups may be empty."""
    tensors = [tensor for group in groups for tensor in group]
    if not tensors:
        return [0.0 for _ in groups]
    norms = iter(torch.stack(torch._foreach_norm(tensors)).tolist())
    return [math.hypot(*(next(norms) for _ in group)) for group in groups]


def norm_by_parameter(model: Transformer) -> dict[str, float]:
    """Return the same as `GradientNorms`, with one transfer per parameter: the naive twin."""
    metrics = {}
    for index, block in enumerate(model.blocks):
        norms = [p.grad.norm().item() for p in block.parameters() if p.grad is not None]
        metrics[f"norm/grad/layer{index}"] = sum(norm**2 for norm in norms) ** 0.5
    return metrics


@contextmanager
def residual_stream(model: Transformer) -> Iterator[list[Tensor]]:
    """Yield a list that the next forward pass fills: input of the first block, output of each."""
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
    """The gradients of one backward pass and the variances of its forward pass, layer by layer.

    Attributes:
        grad: for each layer, the norm of the gradients of all its parameters.
        grad_down: the same for the output matrices of the feed-forward network, W2 of Xiong 2020.
            In a layer without such a network, they are the output matrices of attention. Empty if
            ablab does not know the output matrices of a plain part.
        grad_stream: the norm of the loss's derivative by the stream, at n_layers + 1 places.
        variance: the population variance of the stream over its features, averaged over kept
            positions, at the same places. Xiong 2020 has the expected squared norm instead; divided
            by the width, it equals this variance only for a stream of mean 0.
    """

    grad: list[float]
    grad_down: list[float]
    grad_stream: list[float]
    variance: list[float]


def depth_profile(model: Transformer, batch: Batch, loss_of: Loss) -> DepthProfile:
    """Run one forward and backward pass, and return the profile; `.grad` of parameters stays None.

    The loss is that of a training step, including the auxiliary loss of a mixture.
    """
    with residual_stream(model) as stream:
        output = model(*batch.inputs, keep=batch.keep)
    loss = loss_of(output.prediction, batch) + output.aux_loss
    named = [list(block.named_parameters()) for block in model.blocks]
    parameters = [p for layer in named for _, p in layer]
    # An expert that no token chose has no gradient.
    derivatives = torch.autograd.grad(loss, [*parameters, *stream], allow_unused=True)
    gradients = dict(zip(parameters, derivatives, strict=False))
    down = [output_matrices(block) for block in model.blocks]
    kept_stream = [x.detach().float()[batch.keep] for x in stream]

    def norms(groups: Sequence[Sequence[nn.Parameter]]) -> list[float]:
        of_groups = [[gradients[p] for p in group] for group in groups]
        return group_norms([[g for g in group if g is not None] for group in of_groups])

    return DepthProfile(
        grad=norms([[p for _, p in layer] for layer in named]),
        grad_down=norms(down) if all(down) else [],
        grad_stream=group_norms([[g] for g in derivatives[len(parameters) :] if g is not None]),
        variance=[x.var(dim=-1, correction=0).mean().item() for x in kept_stream],
    )


def output_matrices(block: Any) -> list[nn.Parameter]:
    """Return the matrices `down` of the feed-forward network, or without one `out` of attention.

    In the module of a plain part, they are the weights of the layers that return its output.
    """
    has_network = isinstance(block.ffn, Adapter) or any(True for _ in block.ffn.parameters())
    part, name = (block.ffn, "down") if has_network else (block.attention, "out")
    if isinstance(part, Adapter):
        writers: list[Any] = part.residual_writers()
        return [writer.weight for writer in writers]
    ending = f".{name}.weight"
    return [parameter for path, parameter in part.named_parameters("part") if path.endswith(ending)]


def log_slope(values: dict[int, float]) -> float:
    """Return the least-squares slope of log(value) against log(key).

    It is NaN if a value has no finite logarithm. In `norm_stability`, keys are depths and values
    are gradient norms or variances.
    """
    if not all(0 < value < math.inf for value in values.values()):
        return math.nan
    x = [math.log(key) for key in values]
    y = [math.log(value) for value in values.values()]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return covariance / sum((a - mean_x) ** 2 for a in x)
