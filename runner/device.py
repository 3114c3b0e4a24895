"""Devices: what `auto` means here, and what a trial's process sets before it computes."""

import importlib.metadata
import os
import platform
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from runner.config import Autocast, ConfigError, Device, DeviceName, Dtype

if TYPE_CHECKING:
    import torch


THREADS_PER_CORE = 8


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve(device: Device) -> DeviceName:
    """The device that a config means on this machine.

    torch is imported only where an accelerator may be there, so that planning on a plain CPU stays
    fast.

    Raises:
        ConfigError: an accelerator is asked for and absent.
    """
    cuda, mps = may_have_cuda(), platform.system() == "Darwin" and platform.machine() == "arm64"
    if cuda or mps:
        import torch

        cuda, mps = cuda and torch.cuda.is_available(), mps and torch.backends.mps.is_available()
    there = {DeviceName.cuda: cuda, DeviceName.mps: mps, DeviceName.cpu: True}
    if device.name is DeviceName.auto:
        return next(name for name, present in there.items() if present)
    if not there[device.name]:
        present = ", ".join(name for name, is_there in there.items() if is_there)
        raise ConfigError(
            f"device={device.name}: there is none on this machine; use device=auto or one of "
            f"{present}"
        )
    return device.name


def may_have_cuda() -> bool:
    """Whether a driver and a CUDA build of torch can be here, told without importing torch."""
    driver = (
        Path("/proc/driver/nvidia/version").exists()
        or Path("/dev/nvidia0").exists()
        or Path("/dev/dxg").exists()
    )
    return (driver or platform.system() == "Windows") and "+cpu" not in importlib.metadata.version(
        "torch"
    )


def warnings(device: Device, name: DeviceName) -> list[str]:
    """What is slow or ignored on this device, one line each.

    Raises:
        ConfigError: what cannot be there.
    """
    lines = []
    if (
        name is DeviceName.cpu
        and Dtype.bfloat16 in (device.dtype, device.autocast)
        and not native_bfloat16()
    ):
        lines.append(
            "device.dtype=bfloat16: this CPU has no bfloat16 instructions, expect it to be 60 "
            "times slower"
        )
    if device.autocast is not Autocast.none:
        lines.append(
            f"device.autocast={device.autocast}: in training steps alone; evaluation, probes and "
            f"what is timed compute in {device.dtype}"
        )
    if name is DeviceName.mps and device.dtype is Dtype.float64:
        raise ConfigError(
            "device.dtype=float64: mps has no float64; use device.dtype=float32 or device=cpu"
        )
    most = THREADS_PER_CORE * (os.cpu_count() or 1)
    if name is DeviceName.cpu and device.threads > most:
        raise ConfigError(
            f"device.threads={device.threads}: a trial can have at most {most} threads here, "
            f"{THREADS_PER_CORE} for each core; lower it (1 is fastest where trials run side by "
            "side)"
        )
    if name is not DeviceName.cpu and device.threads > 1:
        lines.append(f"device.threads={device.threads} is ignored on {name}")
    return lines


def native_bfloat16() -> bool:
    """Whether the CPU says that it multiplies bfloat16 itself."""
    cpuinfo = Path("/proc/cpuinfo")
    return not cpuinfo.exists() or any(
        flag in cpuinfo.read_text(encoding="utf-8", errors="replace")
        for flag in ("avx512_bf16", "amx_bf16", "bf16 ")
    )


def set_up_process(device: Device, name: DeviceName) -> "torch.device":
    """Set this process up for a trial, before anything is computed; return torch's device."""
    import torch

    torch.set_num_threads(device.threads)
    if device.deterministic and name is DeviceName.cuda:
        # Without it cuBLAS may choose another order of summation, and torch refuses to compute.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if device.deterministic != torch.are_deterministic_algorithms_enabled():
        # Even to set what is set already would import torch's compiler, for two seconds a trial.
        torch.use_deterministic_algorithms(device.deterministic)
    return torch.device(str(name))


def autocast(device: Device, where: "torch.device") -> AbstractContextManager[object]:
    """What a training step's forward pass and loss run in; backward does not, as torch advises.

    Weights that were cast are kept until the outermost context ends, so open one for each pass:
    the optimizer changes the weights in between.
    """
    if device.autocast is Autocast.none:
        return nullcontext()
    import torch

    return torch.autocast(where.type, dtype=getattr(torch, device.autocast.value))
