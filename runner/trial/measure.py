"""The one timing loop of the project, and peak memory in a process of its own.

Samples are raw; whoever reads them takes medians and ratios. Functions that are compared are timed
in the same rounds, in a random order in each, so that a slow moment of the machine hits all of them
alike.
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

CLEAR = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


def time_interleaved(
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
    repeats = {
        name: calibrate_repeats(function, warmup, min_seconds)
        for name, function in functions.items()
    }
    order, shuffle = list(functions), random.Random(seed)
    samples: dict[str, list[float]] = {name: [] for name in functions}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            shuffle.shuffle(order)
            for name in order:
                samples[name].append(mean_seconds(functions[name], repeats[name]))
    finally:
        if collecting:
            gc.enable()
    return samples


def calibrate_repeats(function: Callable[[], object], warmup: int, min_seconds: float) -> int:
    """Warm a function up; how often it must be called for one sample to last `min_seconds`."""
    took = [mean_seconds(function, 1) for _ in range(max(1, warmup))]
    return max(1, round(min_seconds / max(took[-1], 1e-9)))


def mean_seconds(function: Callable[[], object], repeats: int) -> float:
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


def can_measure_peak() -> bool:
    """Whether this system lets a process reset its peak of resident memory: only Linux does."""
    return CLEAR.exists()


def peak_mib(prepare: Callable[[], Callable[[], object]]) -> float:
    """Peak resident memory in MiB that a call adds, measured in a forked process of its own.

    `prepare()` makes the inputs and returns the function to measure; it must not need threads that
    the parent has started. The function is called twice and measured the second time, so that code
    that is loaded from disk at the first use does not count.

    Raises:
        RuntimeError: the system cannot reset the peak, or the process failed.
    """
    if not can_measure_peak():
        raise RuntimeError(f"peak memory needs Linux: {CLEAR} is not there")
    # Not multiprocessing: a trial's process is a daemon, which it forbids to have children.
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(ours)
            os.write(theirs, repr(_peak(prepare)).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if not answer:
        code = os.waitstatus_to_exitcode(status)
        raise RuntimeError(f"the process that measures peak memory ended with exit code {code}")
    return float(answer)


def cuda_peak_mib(prepare: Callable[[], Callable[[], object]]) -> float:
    """Peak memory in MiB that a call adds on the current CUDA device, as torch's allocator counts.

    In this process: a forked one could not use the device.
    """
    function = prepare()
    function()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def _peak(prepare: Callable[[], Callable[[], object]]) -> float:
    torch.set_num_threads(1)
    return_large_blocks()
    function = prepare()
    function()
    gc.collect()
    trim_heap()
    CLEAR.write_text("5", encoding="utf-8")  # sets the peak (VmHWM) back to what is resident now
    before = status_kib("VmRSS")
    function()
    return (status_kib("VmHWM") - before) / 1024


def return_large_blocks() -> None:
    """Let glibc map large blocks and unmap them when they are freed, as it does by default.

    A trial's process keeps them for speed, and then a peak would count what was freed long ago.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-3, 128 * 1024)  # M_MMAP_THRESHOLD


def trim_heap() -> None:
    """Make glibc return freed memory to the system, or a new tensor would hide in what was kept."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def status_kib(key: str) -> int:
    """A value of /proc/self/status in KiB."""
    line = next(
        line
        for line in STATUS.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.startswith(key + ":")
    )
    return int(line.split()[1])
