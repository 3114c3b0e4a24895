"""How exact a tiled attention is, and what it costs in memory and time beside other kernels.

Queries, keys and values come from one initialised attention layer and are the same for every arm
under a seed; only the kernel that mixes them differs. Measured for each length: errors against the
formula in float64, the difference to the naive kernel, bytes saved for the backward, peak memory,
and, alone on the machine, time. `time_backward` and `peak_backward` are of a forward and backward.
"""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor

from experiments.config import FlashOptions, Kernel
from experiments.nn.attention import Attention
from experiments.nn.build import build
from experiments.nn.initialise import generator, initialise
from experiments.nn.kernels import KERNELS, AttentionKernel, naive
from experiments.nn.kernels_tiled import tiled, tiling
from experiments.probes.finite import highest, numbers
from experiments.probes.saved import saved_bytes
from runner.trial.measure import can_measure_peak, cuda_peak_mib, interleaved, peak_mib
from runner.trial.trial import Trial

NAMES = ("forward", "grad_q", "grad_k", "grad_v")


class Inputs(NamedTuple):
    """What a kernel mixes, (batch, heads, length, d_head), and the gradient of what it returns."""

    query: Tensor
    key: Tensor
    value: Tensor
    upstream: Tensor


def run(trial: Trial) -> None:
    """Measure what has no clock: memory first, since a process that has computed keeps memory."""
    kernel, options = chosen_kernel(trial), trial.config.options
    memory = [(True, length) for length in options.lengths]
    for of_memory, length in trial.pieces([*memory, *((False, n) for n in options.lengths)]):
        if of_memory:
            trial.extend("memory", list(measure_memory(trial, kernel, length)))
            continue
        x = inputs(trial, length)
        record(trial, length, {"saved_bytes": saved(kernel, x)}, "bytes")
        if trial.config.parts.attention.kernel is Kernel.tiled:
            tiles = tiling(x.query, x.key, causal=options.causal, **blocks(options))
            record(trial, length, {"executed_share": tiles.share()}, "1")
        if length <= options.reference_up_to:
            found = errors(kernel, partial(naive, causal=options.causal), x)
            record(trial, length, found, "1")
            trial.log({f"flash/{name}": value for name, value in found.items()}, length)


def timing(trial: Trial) -> None:
    """Medians of forward, and of forward and backward; every sample is kept in a table."""
    kernel, options = chosen_kernel(trial), trial.config.options
    rows = []
    for length in options.lengths:
        x = inputs(trial, length)
        passes: dict[str, Callable[[], object]]
        passes = {"time": partial(forward, kernel, x), "time_backward": partial(both, kernel, x)}
        samples = interleaved(
            passes,
            rounds=options.rounds,
            warmup=options.warmup,
            min_seconds=0.02,
            seed=trial.seed + trial.passes,
        )
        pooled = trial.pooled({f"{name}/length{length}": s for name, s in samples.items()})
        for name in samples:
            seconds = pooled[f"{name}/length{length}"]
            record(trial, length, {name: 1e3 * median(seconds)}, "ms")
            rows += [
                {"length": length, "pass": name, "round": i, "ms": 1e3 * sample}
                for i, sample in enumerate(seconds)
            ]
    trial.table("times", rows)


def chosen_kernel(trial: Trial) -> AttentionKernel:
    """The arm's kernel; block sizes are for the tiled one only."""
    options, kernel = trial.config.options, trial.config.parts.attention.kernel
    if kernel is Kernel.tiled:
        return partial(tiled, causal=options.causal, **blocks(options))
    return partial(KERNELS[kernel], causal=options.causal)


def blocks(options: FlashOptions) -> dict[str, Any]:
    """The block sizes, as keywords of the tiled kernel."""
    return {"block_q": options.block_q, "block_k": options.block_k}


@torch.no_grad()
def inputs(trial: Trial, length: int) -> Inputs:
    """Drawn from the seed and the length alone; the weights are the same for all lengths."""
    parts, batch = trial.config.parts, trial.config.training.batch_size
    layer = build(parts.attention, parts.model.d_model)
    assert isinstance(layer, Attention)
    initialise(layer, trial.seed)
    source = generator(trial.seed, f"inputs of {length}")
    x = torch.randn(batch, length, parts.model.d_model, generator=source)
    query, key, value = layer.project(x)
    upstream = torch.randn(query.shape, generator=source)
    made = (query, key, value, upstream)
    return Inputs(*(t.contiguous().to(trial.device, trial.dtype) for t in made))


@torch.no_grad()
def forward(kernel: AttentionKernel, x: Inputs) -> Tensor:
    """The kernel as in inference."""
    return kernel(x.query, x.key, x.value)


def both(kernel: AttentionKernel, x: Inputs) -> tuple[Tensor, ...]:
    """The output, and the gradients of queries, keys and values."""
    leaves = [t.detach().requires_grad_() for t in x[:3]]
    mixed = kernel(*leaves)
    return (mixed.detach(), *torch.autograd.grad(mixed, leaves, x.upstream))


def errors(kernel: AttentionKernel, same: AttentionKernel, x: Inputs) -> dict[str, float]:
    """Largest errors against the formula in float64, and over those of the formula in x's dtype.

    `error_ratio` is of the output and `error_ratio_grad` the worst of the three gradients. A kernel
    that rounds as the formula does comes near 1; FlashAttention's own tests allow 2, and 3 for
    gradients. `difference_to_naive` is the largest between the outputs of the two in x's dtype.
    """
    exact = both(same, Inputs(*(t.double() for t in x)))
    ours, naives = both(kernel, x), both(same, x)
    found, plain = (
        [furthest(a, b) for a, b in zip(results, exact, strict=True)] for results in (ours, naives)
    )
    # An exact formula, as on one position, has no error to compare with.
    ratios = [
        error / max(usual, 1e-300) if error else 1.0
        for error, usual in zip(found, plain, strict=True)
    ]
    named = {f"error_{name}": error for name, error in zip(NAMES, found, strict=True)}
    named |= {"error_ratio": ratios[0], "error_ratio_grad": highest(ratios[1:])}
    return numbers(named | {"difference_to_naive": furthest(ours[0], naives[0])})


def furthest(a: Tensor, b: Tensor) -> float:
    """The largest absolute difference of two tensors, taken in float64."""
    return float((a.double() - b.double()).abs().max())


def saved(kernel: AttentionKernel, x: Inputs) -> int:
    """Bytes that the kernel's forward keeps for its backward, its inputs not counted."""
    leaves = [t.detach().requires_grad_() for t in x[:3]]
    return saved_bytes(lambda: kernel(*leaves), leaves)


def measure_memory(
    trial: Trial, kernel: AttentionKernel, length: int
) -> Iterator[dict[str, float | str]]:
    """Record peaks over the inputs, and the textbook's formula; the rows of the memory figure."""
    call = {"peak": forward, "peak_backward": both}
    for name, function in call.items():

        def prepare(function: Callable[..., object] = function) -> Callable[[], object]:
            return partial(function, kernel, inputs(trial, length))

        if trial.device.type == "cuda":
            peak = cuda_peak_mib(prepare)
        elif trial.device.type == "cpu" and can_measure_peak():
            peak = peak_mib(prepare)
        else:
            print(f"{name} is not measured: peak memory needs Linux or CUDA")  # noqa: T201
            continue
        record(trial, length, {name: peak}, "MiB")
        yield {"length": length, "memory": name, "mib": peak}
    formula = memory_formula(trial, length)
    record(trial, length, {"peak_formula": formula}, "bytes")
    yield {"length": length, "memory": "peak_formula", "mib": formula / 2**20}


def memory_formula(trial: Trial, length: int) -> int:
    """What textbooks say that a forward needs: the scores, or the output and a sum per row."""
    attention, width = trial.config.parts.attention, trial.config.parts.model.d_model
    batch, n_heads = trial.config.training.batch_size, attention.n_heads
    a_row = length if attention.kernel is Kernel.naive else width // n_heads + 1
    return batch * n_heads * length * a_row * trial.dtype.itemsize


def record(trial: Trial, length: int, values: dict[str, float], unit: str) -> None:
    """Set final values of a length, and those of `options.length` under names without a suffix."""
    trial.record({f"flash/{name}/length{length}": value for name, value in values.items()}, unit)
    if length == trial.config.options.length:
        trial.record({f"flash/{name}": value for name, value in values.items()}, unit)
