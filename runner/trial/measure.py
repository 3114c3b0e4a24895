"""The only timing loop of the project, and peak memory in a process of its own.

Samples are raw: their readers compute medians and ratios. Functions to compare are timed in the
same rounds, each round in a random order. So a slow moment of the machine affects all of them
equally.
"""

import ctypes
import gc
import os
import random
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

CLEAR_REFS = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


def time_interleaved(
    functions: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 2,
    min_seconds: float = 0.0,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Return the seconds per call of each function: a list per name, with one sample per round.

    If a call takes less than `min_seconds`, a sample is the mean over several calls in a row. This
    keeps the noise of the clock small. The warm-up determines the number of calls.

    Args:
        functions: the functions to time, by name.
        rounds: the number of samples per function.
        warmup: the number of calls of each function before the first round, at least 1.
        min_seconds: the shortest time of a sample, in seconds.
        seed: the seed of the random orders.

    Raises:
        ValueError: `rounds` is below 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: must be at least 1")
    # All functions are warmed up before the first sample, so that compilation, caches and the
    # allocator are in the same state for each.
    repeats = {
        name: calibrate_repeats(function, warmup, min_seconds)
        for name, function in functions.items()
    }
    order, shuffle = list(functions), random.Random(seed)
    samples: dict[str, list[float]] = {name: [] for name in functions}
    # A collection of garbage would add milliseconds to some sample.
    gc_was_enabled = gc.isenabled()
    gc.disable()
    try:
        # Interleave the functions: each is timed once per round, so all see the same drift of the
        # machine. The random order keeps one function from always following the same other one.
        for _ in range(rounds):
            shuffle.shuffle(order)
            for name in order:
                samples[name].append(mean_seconds(functions[name], repeats[name]))
    finally:
        if gc_was_enabled:
            gc.enable()
    return samples


def calibrate_repeats(function: Callable[[], object], warmup: int, min_seconds: float) -> int:
    """Warm a function up; return the number of calls that make a sample last `min_seconds`."""
    seconds = [mean_seconds(function, 1) for _ in range(max(1, warmup))]
    # Only the last call counts: earlier ones include compilation and cold caches. The bound of 1 ns
    # avoids a division by zero.
    return max(1, round(min_seconds / max(seconds[-1], 1e-9)))


def mean_seconds(function: Callable[[], object], repeats: int) -> float:
    """Return the mean seconds of `repeats` calls in a row, until accelerators have finished."""
    synchronize()
    start_time = time.perf_counter()
    for _ in range(repeats):
        function()
    synchronize()
    return (time.perf_counter() - start_time) / repeats


def synchronize() -> None:
    """Wait until accelerators have finished their queued work."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def can_measure_peak() -> bool:
    """Return whether a process can reset its peak of resident memory: only Linux allows it."""
    return CLEAR_REFS.exists()


def peak_mib(prepare: Callable[[], Callable[[], object]]) -> float:
    """Return the peak resident memory in MiB that a call adds, measured in a forked process.

    `prepare()` makes the inputs and returns the function to measure. It must not need threads that
    the parent has started. The function is called twice. Only the second call is measured, so that
    code loaded from disk at the first use does not count.

    Raises:
        RuntimeError: the system cannot reset the peak, or the process failed.
    """
    if not can_measure_peak():
        raise RuntimeError(f"peak memory needs Linux: {CLEAR_REFS} does not exist")
    # os.fork, because multiprocessing forbids children of a daemon, as a trial's process is.
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reader)
            os.write(writer, repr(peak_mib_here(prepare)).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if not answer:
        code = os.waitstatus_to_exitcode(status)
        raise RuntimeError(f"the process that measures peak memory ended with exit code {code}")
    return float(answer)


def cuda_peak_mib(prepare: Callable[[], Callable[[], object]]) -> float:
    """Return the peak memory in MiB that a call adds on the current CUDA device.

    torch's allocator counts it. It is measured in this process, because a forked process cannot use
    the device.
    """
    function = prepare()
    function()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def peak_mib_here(prepare: Callable[[], Callable[[], object]]) -> float:
    torch.set_num_threads(1)
    return_large_blocks()
    function = prepare()
    function()
    gc.collect()
    trim_heap()
    CLEAR_REFS.write_text(
        "5", encoding="utf-8"
    )  # resets the peak (VmHWM) to the current resident memory
    before = status_kib("VmRSS")
    function()
    return (status_kib("VmHWM") - before) / 1024


def return_large_blocks() -> None:
    """Let glibc return large blocks to the system when they are freed, as it does by default.

    A trial's process keeps them for speed (`MALLOC_SETTINGS` of `runner.study.pool`). A new tensor
    would reuse them, and the peak would read too low.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-3, 128 * 1024)  # M_MMAP_THRESHOLD


def trim_heap() -> None:
    """Let glibc return freed memory to the system.

    Otherwise a new tensor reuses freed memory, and the peak reads too low.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def status_kib(key: str) -> int:
    """Return a value of /proc/self/status in KiB."""
    line = next(
        line
        for line in STATUS.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.startswith(key + ":")
    )
    return int(line.split()[1])
