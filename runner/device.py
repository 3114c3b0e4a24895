"""Devices: choose one for `auto`, warn about slow settings, and set up the process of a trial."""

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
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve(device: Device) -> DeviceName:
    """Return the device of this machine that a config selects.

    torch is imported only if the machine may have an accelerator. Planning on a CPU stays fast.

    Raises:
        ConfigError: the machine does not have the device.
    """
    cuda, mps = may_have_cuda(), platform.system() == "Darwin" and platform.machine() == "arm64"
    if cuda or mps:
        import torch

        cuda, mps = cuda and torch.cuda.is_available(), mps and torch.backends.mps.is_available()
    available = {DeviceName.cuda: cuda, DeviceName.mps: mps, DeviceName.cpu: True}
    if device.name is DeviceName.auto:
        return next(name for name, is_available in available.items() if is_available)
    if not available[device.name]:
        names = ", ".join(name for name, is_available in available.items() if is_available)
        raise ConfigError(
            f"device={device.name}: there is none on this machine; use device=auto or one of "
            f"{names}"
        )
    return device.name


def may_have_cuda() -> bool:
    """Return whether the machine may have a driver and a CUDA build of torch, without torch."""
    driver = (
        Path("/proc/driver/nvidia/version").exists()
        or Path("/dev/nvidia0").exists()
        or Path("/dev/dxg").exists()
    )
    return (driver or platform.system() == "Windows") and "+cpu" not in importlib.metadata.version(
        "torch"
    )


def warnings(device: Device, name: DeviceName) -> list[str]:
    """Return a note for each setting that is slow or ignored on this device.

    Raises:
        ConfigError: the device does not support a setting.
    """
    notes = []
    if (
        name is DeviceName.cpu
        and Dtype.bfloat16 in (device.dtype, device.autocast)
        and not native_bfloat16()
    ):
        notes.append(
            "device.dtype=bfloat16: this CPU has no bfloat16 instructions, expect it to be 60 "
            "times slower"
        )
    if device.autocast is not Autocast.none:
        notes.append(
            f"device.autocast={device.autocast} applies only to training steps; evaluation, probes "
            f"and timed calls use {device.dtype}"
        )
    if name is DeviceName.mps and device.dtype is Dtype.float64:
        raise ConfigError(
            "device.dtype=float64: mps has no float64; use device.dtype=float32 or device=cpu"
        )
    most = THREADS_PER_CORE * (os.cpu_count() or 1)
    if name is DeviceName.cpu and device.threads > most:
        raise ConfigError(
            f"device.threads={device.threads}: a trial can have at most {most} threads here, "
            f"{THREADS_PER_CORE} for each core; lower it (1 is fastest for parallel trials)"
        )
    if name is not DeviceName.cpu and device.threads > 1:
        notes.append(f"device.threads={device.threads} is ignored on {name}")
    return notes


def native_bfloat16() -> bool:
    """Return whether the CPU has instructions for bfloat16; True if that is unknown."""
    cpuinfo = Path("/proc/cpuinfo")
    return not cpuinfo.exists() or any(
        flag in cpuinfo.read_text(encoding="utf-8", errors="replace")
        for flag in ("avx512_bf16", "amx_bf16", "bf16 ")
    )


def set_up_process(device: Device, name: DeviceName) -> "torch.device":
    """Set up torch in this process before a trial computes anything; return torch's device."""
    import torch

    torch.set_num_threads(device.threads)
    if device.deterministic and name is DeviceName.cuda:
        # Without it cuBLAS may change the order of summation, and torch then raises an error.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if device.deterministic != torch.are_deterministic_algorithms_enabled():
        # Setting it imports torch's compiler, which takes two seconds: skip it if nothing changes.
        torch.use_deterministic_algorithms(device.deterministic)
    return torch.device(str(name))


def autocast(device: Device, where: "torch.device") -> AbstractContextManager[object]:
    """Return the autocast context of a training step's forward pass and loss.

    The backward pass runs outside of it, as PyTorch advises. Cast weights are cached until the
    outermost context ends, and the optimizer changes them: open a new context for each pass.
    """
    if device.autocast is Autocast.none:
        return nullcontext()
    import torch

    return torch.autocast(where.type, dtype=getattr(torch, device.autocast.value))
