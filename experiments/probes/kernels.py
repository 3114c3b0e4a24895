"""Inputs of attention kernels, and measurements of their errors and saved bytes.

Legend: batch, n_heads, length, d_head. A kernel is an `AttentionKernel` with its options bound.
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
    """Inputs of a kernel, and `upstream`, the gradient of its output.

    Shapes are (batch, n_heads, length, d_head); keys and values may have fewer heads.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    upstream: Tensor


def bind_kernel(name: str, *, causal: bool, **blocks: Any) -> AttentionKernel:
    """Return the kernel of this name with its options; only `tiled` uses the block sizes."""
    if name == "tiled":
        return partial(tiled_attention, causal=causal, **blocks)
    return partial(KERNELS[name], causal=causal)


@torch.no_grad()
def draw_kernel_inputs(
    layer: nn.Module, *, batch: int, length: int, d_model: int, seed: int
) -> KernelInputs:
    """Return inputs that depend on the seed and the length alone; all lengths share the weights.

    `layer` is an attention layer. Its projections turn random numbers into queries, keys, values.
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
    kernel: AttentionKernel, naive: AttentionKernel, x: KernelInputs
) -> dict[str, float]:
    """Return the errors of a kernel against the attention formula in float64.

    `naive` computes the formula. Its own errors in the dtype of x are the reference of the ratios.
    Tests of FlashAttention allow a ratio of 2, and of 3 for gradients. Metrics:

        error_forward, error_grad_q, error_grad_k, error_grad_v   largest absolute errors
        error_ratio           error of the output / that of `naive`; near 1 if both round equally
        error_ratio_grad      the largest of the same ratios of the three gradients
        difference_to_naive   largest difference of the output to that of `naive` in x's dtype
    """
    exact = run_forward_backward(naive, KernelInputs(*(t.double() for t in x)))
    results, naive_results = run_forward_backward(kernel, x), run_forward_backward(naive, x)
    errors, naive_errors = (
        [max_difference(a, b) for a, b in zip(outputs, exact, strict=True)]
        for outputs in (results, naive_results)
    )
    # Where the naive kernel is exact, as on one position, its error is 0.
    ratios = [
        error / max(reference, 1e-300) if error else 1.0
        for error, reference in zip(errors, naive_errors, strict=True)
    ]
    metrics = {f"error_{name}": error for name, error in zip(OUTPUT_NAMES, errors, strict=True)}
    metrics |= {"error_ratio": ratios[0], "error_ratio_grad": max_or_nan(ratios[1:])}
    metrics |= {"difference_to_naive": max_difference(results[0], naive_results[0])}
    return replace_nonfinite(metrics)


def max_difference(a: Tensor, b: Tensor) -> float:
    """Return the largest absolute difference of two tensors, computed in float64."""
    return float((a.double() - b.double()).abs().max())


def measure_saved_bytes(kernel: AttentionKernel, x: KernelInputs) -> int:
    """Return the bytes that autograd saves for the backward of the kernel, without its inputs."""
    leaves = [t.detach().requires_grad_() for t in x[:3]]
    return saved_bytes(lambda: kernel(*leaves), leaves)
