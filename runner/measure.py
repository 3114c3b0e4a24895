"""The one timing loop of the project, and peak memory in a process of its own.

Samples are raw; whoever reads them takes medians and ratios. Functions that are compared are timed
in the same rounds, in a random order in each, so that a slow moment of the machine hits all of them
alike.
"""

import gc
import multiprocessing
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

CLEAR = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


def interleaved(
    functions: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 2,
    min_seconds: float = 0.0,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Seconds of each call, a list per function with one sample a round.

    A function that takes less than `min_seconds` is called several times in a row and the mean of
    these is its sample, so that the clock's own noise stays small; how often is found out during
    the warm-up.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds} must be at least 1")
    repeats = {name: settle(function, warmup, min_seconds) for name, function in functions.items()}
    order, shuffle = list(functions), random.Random(seed)
    samples: dict[str, list[float]] = {name: [] for name in functions}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            shuffle.shuffle(order)
            for name in order:
                samples[name].append(seconds(functions[name], repeats[name]))
    finally:
        if collecting:
            gc.enable()
    return samples


def settle(function: Callable[[], object], warmup: int, min_seconds: float) -> int:
    """Warm a function up; how often it must be called for one sample to last `min_seconds`."""
    took = [seconds(function, 1) for _ in range(max(1, warmup))]
    return max(1, round(min_seconds / max(took[-1], 1e-9)))


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Mean seconds of `repeats` calls in a row, accelerators waited for."""
    synchronize()
    began = time.perf_counter()
    for _ in range(repeats):
        function()
    synchronize()
    return (time.perf_counter() - began) / repeats


def synchronize() -> None:
    """Wait for the work that accelerators still have to do."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def peak_mib(prepare: Callable[[], Callable[[], object]]) -> float:
    """Peak resident memory in MiB that a call adds, measured in a forked process of its own.

    `prepare()` makes the inputs and returns the function to measure; it must not need threads that
    the parent has started.

    Raises:
        RuntimeError: the system cannot reset the peak (only Linux can), or the process failed.
    """
    if not CLEAR.exists():
        raise RuntimeError("peak memory needs Linux: /proc/self/clear_refs is not there")
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_peak, args=(prepare, theirs))
    process.start()
    theirs.close()
    try:
        peak = ours.recv()
    except EOFError:
        peak = None
    process.join()
    if peak is None:
        raise RuntimeError(
            f"the process that measures peak memory ended with exit code {process.exitcode}"
        )
    return float(peak)


def _peak(
    prepare: Callable[[], Callable[[], object]], connection: "multiprocessing.connection.Connection"
) -> None:
    torch.set_num_threads(1)
    function = prepare()
    gc.collect()
    CLEAR.write_text("5")  # sets the peak (VmHWM) back to what is resident now
    before = status_kib("VmRSS")
    function()
    connection.send((status_kib("VmHWM") - before) / 1024)


def status_kib(key: str) -> int:
    """A value of /proc/self/status in KiB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key + ":"))
    return int(line.split()[1])
