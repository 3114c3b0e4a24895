"""Free memory of this machine, and checks that trials fit into it. No torch."""

import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from runner.config import ArmConfig, ConfigError, Device, DeviceName
from runner.plan import estimates
from runner.plan.plan import PlannedArm
from runner.wording.output import join_names

GIB, MOST_GIB = 2**30, 2**20
CGROUPS = Path("/sys/fs/cgroup")


def check_memory(arms: Mapping[str, ArmConfig], devices: Mapping[str, DeviceName]) -> None:
    """Refuse arms whose trials cannot fit: already a lower bound exceeds the available memory.

    Raises:
        ConfigError: the message has the lower bound of the largest arm, the available memory, and
            the keys to lower.
    """
    free = {name: available_memory(arm.device, devices[name]) for name, arm in arms.items()}
    least = {name: estimates.least_memory(arm).total for name, arm in arms.items()}
    too_large = [name for name in arms if least[name] > free[name]]
    if not too_large:
        return
    name = max(too_large, key=least.__getitem__)
    others = [other for other in too_large if other != name]
    also = f"; also too large: {join_names(others, 3)}" if others else ""
    gibs = math.ceil(least[name] / GIB)
    more = f"; if there is more memory, set device.memory_gib={gibs}" if gibs <= MOST_GIB else ""
    raise ConfigError(
        f"arm {name} takes at least {format_gib(least[name])} GiB, most of it "
        f"{estimates.least_memory(arms[name]).largest_component}; "
        f"{describe_free_memory(arms[name].device, free[name])}{also}\n"
        f"lower {' or '.join(estimates.memory_saving_keys(arms[name]))}{more}"
    )


def describe_free_memory(device: Device, free: float) -> str:
    """Return a clause with the available memory, which says whether the user has set it."""
    if device.memory_gib is None:
        return f"{format_gib(free)} GiB are free"
    return f"device.memory_gib allows {format_gib(free)} GiB"


def note_parallel_memory(arms: Sequence[PlannedArm], workers: int) -> list[str]:
    """Return a note if one trial fits into memory, but `workers` parallel trials do not."""
    if not arms or workers < 2:
        return []
    largest = max(arms, key=lambda arm: estimates.least_memory(arm.config).total)
    n_bytes, free = (
        estimates.least_memory(largest.config).total,
        available_memory(largest.config.device, largest.device),
    )
    if workers * n_bytes <= free:
        return []
    return [
        f"{workers} parallel trials of arm {largest.name} take at least "
        f"{format_gib(workers * n_bytes)} GiB, but "
        f"{describe_free_memory(largest.config.device, free)}; "
        f"workers={max(1, int(free // n_bytes))} fits"
    ]


def format_gib(size: float) -> str:
    """Return bytes as GiB: with three digits, and large values as whole numbers such as 5,720."""
    gibs = size / GIB
    return f"{gibs:,.0f}" if 100 <= gibs < 1e9 else f"{gibs:.3g}"


def available_memory(device: Device, where: DeviceName) -> float:
    """Return the bytes that trials may take: `device.memory_gib` if set, else the free memory.

    The memory of an accelerator is unknown without torch: unless the key is set, it is infinite.
    """
    if device.memory_gib is not None:
        return device.memory_gib * GIB
    return math.inf if where is DeviceName.cuda else free_memory()


def free_memory() -> float:
    """Return the bytes that a new process can allocate: free memory, or a lower limit."""
    return min([*_system_memory(), *_cgroup_limits(), *_process_limits()], default=math.inf)


def _system_memory() -> Iterable[float]:
    """Yield the free memory of the system, if it is known."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                yield float(line.split()[1]) * 1024
                return
    except (OSError, ValueError, IndexError):
        pass
    try:  # not Linux: the whole physical memory
        yield float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return


def _cgroup_limits() -> Iterable[float]:
    """Yield the limits of this process's control group and its parents (versions 2 and 1)."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = CGROUPS / controllers
        file = "memory.limit_in_bytes" if controllers else "memory.max"
        inner = root / path.lstrip("/")
        for folder in {inner, *(p for p in inner.parents if p.is_relative_to(root)), root}:
            try:
                text = (folder / file).read_text(encoding="utf-8").strip()
            except OSError:
                continue
            if text.isdecimal():
                yield float(text)


def _process_limits() -> Iterable[float]:
    """Yield the limit that `ulimit -v` sets."""
    if sys.platform == "win32":
        return
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield float(soft)
