"""The origin of numbers: machine, package versions, commit, command. Imports no torch."""

import datetime
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

from runner import device

CODE_PATHS = ("ablab.py", "runner", "experiments", "conf", "pyproject.toml", "constraints.txt")
"""The files of a checkout on which the numbers and the report of a run depend."""
DRIVER = Path("/proc/driver/nvidia")
PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "hydra-core",
    "omegaconf",
    "tensorboard",
    "matplotlib",
    "ablab",
)


def timestamp() -> str:
    """Return the current time as text, to the second, for environment.json."""
    return current_time().isoformat(timespec="seconds")


def current_time() -> datetime.datetime:
    """Return the current time with its zone, which orders finished trials and registrations."""
    return datetime.datetime.now().astimezone()


def environment(command: str, started: str) -> dict[str, Any]:
    """Return command, times, versions, commit and machine, to judge or repeat a run."""
    return {
        "command": command,
        "started": started,
        "reported": timestamp(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "git": git(),
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """Return the machine that timings belong to, with its GPUs if it has any."""
    gpu_names = gpus()
    return {
        "system": platform.system(),
        "processor": processor(),
        **({"id": identity} if (identity := machine_id()) else {}),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        **({"gpus": gpu_names} if gpu_names else {}),
    }


def gpus() -> list[str]:
    """Return the names of the NVIDIA GPUs from the files of the driver.

    Windows and its Linux (WSL) have no such files. There torch is imported and asked, even if
    nothing else has imported it: a machine must always have the same name.
    """
    names = [
        line.partition(":")[2].strip()
        for path in sorted(DRIVER.glob("gpus/*/information"))
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.startswith("Model:")
    ]
    if names or not device.may_have_cuda():
        return names
    import torch

    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(index) for index in range(n_gpus)]


def runtime_versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that compute the numbers."""
    return {
        "python": platform.python_version(),
        "torch": package_version("torch"),
        "numpy": package_version("numpy"),
    }


def package_version(package: str) -> str | None:
    """Return the installed version of a package, or None; a checkout of ablab has a version too."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return checkout_version() if package == "ablab" else None


def checkout_version() -> str | None:
    """Return ablab's version from the checkout's pyproject.toml; None outside a checkout."""
    path = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if not path.exists():
        return None
    version = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"]
    return str(version)


def machine_id() -> str:
    """Return a short hash of the system's id, which tells equal machines apart; "" without one."""
    try:
        text = Path("/etc/machine-id").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:8] if text else ""


def processor() -> str:
    """Return the processor's name as the system reports it."""
    if platform.system() == "Darwin":
        return _command_output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        pairs = (line.partition(":") for line in lines if ":" in line)
        info = {name.strip(): value.strip() for name, _, value in pairs}
        if "model name" in info:
            return info["model name"]
        if "CPU part" in info:  # Arm
            return f"{platform.machine()} {info.get('CPU implementer', '')} {info['CPU part']}"
    return platform.processor() or platform.machine()


def _command_output(*command: str) -> str:
    """Return the output of a system command; "" where it is missing or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def git() -> dict[str, Any] | None:
    """Return commit and dirty flag of the checkout of this code; None outside a checkout.

    Dirty is a checkout whose code or options differ from the commit: changed or new files in
    `CODE_PATHS`. A folder of the user's own options is not part of the commit.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit, changed = (
            _git_output(root, "rev-parse", "HEAD"),
            _git_output(root, "status", "--porcelain", "--", *CODE_PATHS),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changed)}


def _git_output(root: Path, *words: str) -> str:
    """Return the output of git. Raises OSError or SubprocessError where git fails."""
    done = subprocess.run(
        ["git", "-C", str(root), *words],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
        timeout=10,
    )
    return done.stdout.strip()


def unique_suffix() -> str:
    """Return a short text that no other process has: the process id and the time."""
    return f"{os.getpid()}-{time.time_ns() % 10**9}"
