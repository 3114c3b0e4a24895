"""Time and memory of the tiled kernel, against the whole matrix and torch's fused kernel.

python -m tests.benchmarks.attention [--lengths 512 2048] [--rounds 9] [--threads 1]
    [--memory-up-to 8192] [--naive-up-to 2048] [--json FILE] [--quick]

About 3 minutes; --quick: a length of 256, and memory up to 1024. Batch 1, 8 heads of width 64, the
same inputs for all. Peaks are measured in processes of their own; naive is left out above
--naive-up-to.

- naive: the whole matrix of scores.
- tiled: with the block sizes it chooses by length.
- tiled 64, 256/512: with fixed ones.
- fused: torch's scaled_dot_product_attention.

By default glibc returns the memory of large tensors and faults it in again, which doubles naive's
time. Trials of the engine keep the memory. To measure as they do, set
MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 before the command. Report which
setting a number has.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from side_by_side import SideBySide, arguments
from torch import Tensor

from experiments.nn.kernels.kernel import AttentionKernel, fused_attention, naive_attention
from experiments.nn.kernels.tiled import tiled_attention
from experiments.probes.saved_activations import saved_bytes
from runner.trial.measure import can_measure_peak, peak_mib

N_HEADS, D_HEAD = 8, 64
CONTENDERS: dict[str, AttentionKernel] = {
    "naive": naive_attention,
    "tiled": tiled_attention,
    "tiled 64": partial(tiled_attention, block_q=64, block_k=64),
    "tiled 256/512": partial(tiled_attention, block_q=256, block_k=512),
    "fused": fused_attention,
}


def inputs(length: int) -> list[Tensor]:
    """Queries, keys, values and the gradient of the output."""
    return [torch.randn(1, N_HEADS, length, D_HEAD) for _ in range(4)]


def forward(kernel: AttentionKernel, x: list[Tensor], causal: bool) -> None:
    kernel(*x[:3], causal=causal)


def both(kernel: AttentionKernel, x: list[Tensor], causal: bool) -> None:
    leaves = [t.detach().requires_grad_() for t in x[:3]]
    torch.autograd.grad(kernel(*leaves, causal=causal), leaves, x[3])


def compare(bench: SideBySide, length: int, causal: bool) -> None:
    """Time all contenders, forward and forward+backward."""
    x = inputs(length)
    for run in (forward, both):
        functions: dict[str, Callable[[], object]] = {
            name: partial(run, kernel, x, causal) for name, kernel in CONTENDERS.items()
        }
        title = f"{length}, {'causal' if causal else 'full'}, {run.__name__}"
        bench.compare(title, functions, "fused / it", "naive / it", min_seconds=0.01)


def memory(bench: SideBySide, lengths: list[int], naive_up_to: int) -> dict[str, dict]:
    """Return peaks in MiB and saved bytes; print the slope of saved bytes in log length."""
    kernels = {name: CONTENDERS[name] for name in ("naive", "tiled", "fused")}
    measurements: dict[str, dict] = {}
    rows = []
    for name, kernel in kernels.items():
        measurements[name] = {}
        for length in lengths:
            if name == "naive" and length > naive_up_to:
                continue
            prepares = [
                lambda r=run, k=kernel, n=length: partial(r, k, inputs(n), True)
                for run in (forward, both)
            ]
            peaks = [peak_mib(prepare) if can_measure_peak() else math.nan for prepare in prepares]
            leaves = [x.requires_grad_() for x in inputs(length)[:3]]
            n_saved_bytes = saved_bytes(partial(kernel, *leaves, causal=True), leaves)
            measurements[name][length] = {
                "forward": peaks[0],
                "both": peaks[1],
                "saved": n_saved_bytes,
            }
            row = {"kernel": name, "length": str(length), "peak forward MiB": f"{peaks[0]:.1f}"}
            rows.append(
                row | {"peak both MiB": f"{peaks[1]:.1f}", "saved bytes": str(n_saved_bytes)}
            )
    bench.table("memory, causal", rows)
    for name, measured in measurements.items():
        first, last = min(measured), max(measured)
        growth = measured[last]["saved"] / measured[first]["saved"]
        if last > first:
            bench.say(f"slope of {name}: {math.log(growth) / math.log(last / first):.3f}")
    return measurements


def main() -> None:
    parser = arguments(__doc__, rounds=9)
    parser.add_argument("--lengths", type=int, nargs="*")
    parser.add_argument("--memory-up-to", type=int)
    parser.add_argument("--naive-up-to", type=int, default=2048)
    bench = SideBySide(parser)
    options = bench.options
    lengths, up_to = ((256,), 1024) if options.quick else ((512, 2048), 8192)
    up_to = up_to if options.memory_up_to is None else options.memory_up_to
    of_memory = [n for n in (512, 1024, 2048, 4096, 8192) if n <= up_to]
    peaks = memory(bench, of_memory, options.naive_up_to) if of_memory else {}
    for length in lengths if options.lengths is None else options.lengths:
        for causal in (True, False):
            compare(bench, length, causal)
    bench.write(peaks=peaks)


if __name__ == "__main__":
    main()
