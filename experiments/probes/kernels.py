"""What an attention kernel returns, keeps and errs by, on given inputs.

Legend: batch, n_heads, length, d_head; a kernel is an `AttentionKernel` with its options bound.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from experiments.nn.attention import Attention
from experiments.nn.initialise import initialise, named_generator
from experiments.nn.kernels.kernel import KERNELS, AttentionKernel
from experiments.nn.kernels.tiled import tiled_attention
from experiments.probes.nonfinite import max_or_nan, replace_nonfinite
from experiments.probes.saved_activations import saved_bytes

OUTPUT_NAMES = ("forward", "grad_q", "grad_k", "grad_v")


class KernelInputs(NamedTuple):
    """What a kernel mixes, (batch, heads, length, d_head), and the gradient of what it returns."""

    query: Tensor
    key: Tensor
    value: Tensor
    upstream: Tensor


def bind_kernel(name: str, *, causal: bool, **blocks: Any) -> AttentionKernel:
    """Return the kernel of a name; block sizes are for the tiled one only."""
    if name == "tiled":
        return partial(tiled_attention, causal=causal, **blocks)
    return partial(KERNELS[name], causal=causal)


@torch.no_grad()
def draw_kernel_inputs(
    layer: nn.Module, *, batch: int, length: int, d_model: int, seed: int
) -> KernelInputs:
    """Return inputs from the seed and the length alone; the weights are the same for all lengths.

    `layer` is the attention that projects random numbers to queries, keys and values.
    """
    assert isinstance(layer, Attention)
    initialise(layer, seed)
    source = named_generator(seed, f"inputs of {length}")
    x = torch.randn(batch, length, d_model, generator=source)
    query, key, value = layer.project(x)
    upstream = torch.randn(query.shape, generator=source)
    return KernelInputs(query, key, value, upstream)


@torch.no_grad()
def run_forward(kernel: AttentionKernel, x: KernelInputs) -> Tensor:
    """Return the kernel's output, as in inference."""
    return kernel(x.query, x.key, x.value)


def run_forward_backward(kernel: AttentionKernel, x: KernelInputs) -> tuple[Tensor, ...]:
    """Return the output, and the gradients of queries, keys and values."""
    leaves = [t.detach().requires_grad_() for t in x[:3]]
    mixed = kernel(*leaves)
    return (mixed.detach(), *torch.autograd.grad(mixed, leaves, x.upstream))


def kernel_errors(
    kernel: AttentionKernel, same: AttentionKernel, x: KernelInputs
) -> dict[str, float]:
    """Return largest errors against the formula in float64, and over those of it in x's dtype.

    `same` is the formula. `error_ratio` is of the output and `error_ratio_grad` the worst of the
    three gradients. A kernel that rounds as the formula does comes near 1; FlashAttention's own
    tests allow 2, and 3 for gradients. `difference_to_naive` is the largest between the outputs of
    the two in x's dtype.
    """
    exact = run_forward_backward(same, KernelInputs(*(t.double() for t in x)))
    ours, naives = run_forward_backward(kernel, x), run_forward_backward(same, x)
    found, plain = (
        [furthest(a, b) for a, b in zip(results, exact, strict=True)] for results in (ours, naives)
    )
    # An exact formula, as on one position, has no error to compare with.
    ratios = [
        error / max(usual, 1e-300) if error else 1.0
        for error, usual in zip(found, plain, strict=True)
    ]
    named = {f"error_{name}": error for name, error in zip(OUTPUT_NAMES, found, strict=True)}
    named |= {"error_ratio": ratios[0], "error_ratio_grad": max_or_nan(ratios[1:])}
    return replace_nonfinite(named | {"difference_to_naive": furthest(ours[0], naives[0])})


def furthest(a: Tensor, b: Tensor) -> float:
    """Return the largest absolute difference of two tensors, taken in float64."""
    return float((a.double() - b.double()).abs().max())


def measure_saved_bytes(kernel: AttentionKernel, x: KernelInputs) -> int:
    """Return the bytes that the kernel's forward keeps for its backward, its inputs not counted."""
    leaves = [t.detach().requires_grad_() for t in x[:3]]
    return saved_bytes(lambda: kernel(*leaves), leaves)
