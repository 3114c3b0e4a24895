"""How fast and how small is the tiled kernel? Beside the whole matrix, and torch's fused kernel.

python -m tests.benchmarks.attention [--lengths 512 2048] [--rounds 9] [--threads 1]
    [--memory-up-to 8192] [--json FILE]                                       about 3 minutes

Batch 1, 8 heads of width 64. Contenders run interleaved, in a new random order each round, on the
same inputs; the table has medians over rounds and ratios of medians, the JSON file every sample in
seconds. A shared machine changes its speed from minute to minute: only ratios within one run hold.
Peaks are measured in processes of their own; naive is left out above --naive-up-to.

- naive: the whole matrix of scores.
- tiled: with the block sizes it chooses by length.
- tiled 64, 256/512: with fixed ones.
- fused: torch's scaled_dot_product_attention.

glibc gives large tensors back and faults them in anew, which doubles naive's time; trials of the
engine do not. MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 before the
command measures it as they do; say which one a figure is.
"""

import argparse
import json
import math
import os
import platform
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from experiments.nn.kernels import AttentionKernel, fused, naive
from experiments.nn.kernels_tiled import tiled
from experiments.probes.saved import saved_bytes
from runner.measure import can_measure_peak, interleaved, peak_mib

N_HEADS, D_HEAD = 8, 64
CONTENDERS: dict[str, AttentionKernel] = {
    "naive": naive,
    "tiled": tiled,
    "tiled 64": partial(tiled, block_q=64, block_k=64),
    "tiled 256/512": partial(tiled, block_q=256, block_k=512),
    "fused": fused,
}
PASSES = ("forward", "both")


def inputs(length: int) -> list[Tensor]:
    """Queries, keys, values and the gradient of the output."""
    return [torch.randn(1, N_HEADS, length, D_HEAD) for _ in range(4)]


def forward(kernel: AttentionKernel, x: list[Tensor], causal: bool) -> None:
    kernel(*x[:3], causal=causal)


def both(kernel: AttentionKernel, x: list[Tensor], causal: bool) -> None:
    leaves = [t.detach().requires_grad_() for t in x[:3]]
    torch.autograd.grad(kernel(*leaves, causal=causal), leaves, x[3])


def timed(length: int, causal: bool, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds by pass and contender."""
    x = inputs(length)
    functions: dict[str, Callable[[], object]] = {
        f"{name}|{run.__name__}": partial(run, kernel, x, causal)
        for run in (forward, both)
        for name, kernel in CONTENDERS.items()
    }
    samples = interleaved(functions, rounds=rounds, min_seconds=0.01)
    return {p: {name: samples[f"{name}|{p}"] for name in CONTENDERS} for p in PASSES}


def report(console: Console, length: int, causal: bool, samples: dict[str, dict]) -> None:
    """Medians, and ratios: speed of fused, and speed over naive."""
    shape = f"{length}, {'causal' if causal else 'full'}"
    table = Table("kernel", "forward ms", "x fused", "x naive", "both ms", "x fused", "x naive")
    medians = {p: {n: statistics.median(s) for n, s in samples[p].items()} for p in PASSES}
    for name in CONTENDERS:
        cells = []
        for p in PASSES:
            own = medians[p][name]
            speeds = (medians[p]["fused"] / own, medians[p]["naive"] / own)
            cells += [f"{1e3 * own:.1f}", *(f"{speed:.2f}" for speed in speeds)]
        table.add_row(name, *cells)
    console.print(shape)
    console.print(table)


def memory(console: Console, lengths: list[int], naive_up_to: int) -> dict[str, dict]:
    """Peaks in MiB and bytes saved, with the slope of the latter in log length."""
    kernels = {name: CONTENDERS[name] for name in ("naive", "tiled", "fused")}
    found: dict[str, dict] = {}
    table = Table("kernel", "length", "peak forward MiB", "peak both MiB", "saved bytes")
    for name, kernel in kernels.items():
        found[name] = {}
        for length in lengths:
            if name == "naive" and length > naive_up_to:
                continue
            prepares = [
                lambda r=run, k=kernel, n=length: partial(r, k, inputs(n), True)
                for run in (forward, both)
            ]
            peaks = [peak_mib(prepare) if can_measure_peak() else math.nan for prepare in prepares]
            leaves = [x.requires_grad_() for x in inputs(length)[:3]]
            kept = saved_bytes(partial(kernel, *leaves, causal=True), leaves)
            found[name][length] = {"forward": peaks[0], "both": peaks[1], "saved": kept}
            table.add_row(name, str(length), *(f"{peak:.1f}" for peak in peaks), str(kept))
    console.print(table)
    for name, rows in found.items():
        first, last = min(rows), max(rows)
        growth = rows[last]["saved"] / rows[first]["saved"]
        if last > first:
            console.print(f"slope of {name}: {math.log(growth) / math.log(last / first):.3f}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="*", default=[512, 2048])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-up-to", type=int, default=8192)
    parser.add_argument("--naive-up-to", type=int, default=2048)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    console = Console()
    lengths = [n for n in (512, 1024, 2048, 4096, 8192) if n <= args.memory_up_to]
    peaks = memory(console, lengths, args.naive_up_to) if lengths else {}
    times = {}
    for length in args.lengths:
        for causal in (True, False):
            samples = timed(length, causal, args.rounds)
            report(console, length, causal, samples)
            times[f"{length} {'causal' if causal else 'full'}"] = samples
    if args.json:
        malloc = {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")}
        about = {"torch": torch.__version__, "machine": platform.processor(), "malloc": malloc}
        args.json.write_text(
            json.dumps({**vars(args), "json": None, **about, "peaks": peaks, "seconds": times})
        )


if __name__ == "__main__":
    main()
