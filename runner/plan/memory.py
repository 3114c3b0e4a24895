"""Memory: what this machine has free, and trials that cannot fit refused in the plan. No torch."""

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
    """Refuse arms whose trials take more memory than there is, whatever else is counted.

    Raises:
        ConfigError: with what the largest arm takes at the least, what there is, and the cure.
    """
    free = {name: available_memory(arm.device, devices[name]) for name, arm in arms.items()}
    least = {name: estimates.least_memory(arm).total for name, arm in arms.items()}
    too_large = [name for name in arms if least[name] > free[name]]
    if not too_large:
        return
    name = max(too_large, key=least.__getitem__)
    others = [other for other in too_large if other != name]
    also = f"; too large as well: {join_names(others, 3)}" if others else ""
    gibs = math.ceil(least[name] / GIB)
    more = f"; device.memory_gib={gibs} says that there is more" if gibs <= MOST_GIB else ""
    raise ConfigError(
        f"arm {name} takes at least {format_gib(least[name])} GiB, most of it "
        f"{estimates.least_memory(arms[name]).largest_component}; "
        f"{describe_free_memory(arms[name].device, free[name])}{also}\n"
        f"lower {' or '.join(estimates.memory_saving_keys(arms[name]))}{more}"
    )


def describe_free_memory(device: Device, free: float) -> str:
    """How much memory trials may take, and who says so."""
    if device.memory_gib is None:
        return f"{format_gib(free)} GiB are free"
    return f"device.memory_gib allows {format_gib(free)} GiB"


def note_parallel_memory(arms: Sequence[PlannedArm], workers: int) -> list[str]:
    """A line where trials that run side by side take more than there is, though one fits."""
    if not arms or workers < 2:
        return []
    of = max(arms, key=lambda arm: estimates.least_memory(arm.config).total)
    one, free = (
        estimates.least_memory(of.config).total,
        available_memory(of.config.device, of.device),
    )
    if workers * one <= free:
        return []
    return [
        f"{workers} trials at a time of arm {of.name} take at least {format_gib(workers * one)} GiB, and "
        f"{describe_free_memory(of.config.device, free)}; workers={max(1, int(free // one))} fits"
    ]


def format_gib(size: float) -> str:
    """Bytes as GiB: in three digits, and large ones as whole numbers such as 5,720."""
    gibs = size / GIB
    return f"{gibs:,.0f}" if 100 <= gibs < 1e9 else f"{gibs:.3g}"


def available_memory(device: Device, where: DeviceName) -> float:
    """Bytes that trials may take: `device.memory_gib`, or what is free here.

    An accelerator's memory is not known without torch: unless the key says it, nothing is refused.
    """
    if device.memory_gib is not None:
        return device.memory_gib * GIB
    return math.inf if where is DeviceName.cuda else free_memory()


def free_memory() -> float:
    """Bytes that a new process can have: what the system has free, less where a limit is set."""
    return min([*_of_system(), *_of_cgroup(), *_of_process()], default=math.inf)


def _of_system() -> Iterable[float]:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                yield float(line.split()[1]) * 1024
                return
    except (OSError, ValueError, IndexError):
        pass
    try:  # not Linux: all there is
        yield float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return


def _of_cgroup() -> Iterable[float]:
    """Limits of this process's control group and of those it lies in (versions 2 and 1)."""
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


def _of_process() -> Iterable[float]:
    """The limit of `ulimit -v`."""
    if sys.platform == "win32":
        return
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield float(soft)
