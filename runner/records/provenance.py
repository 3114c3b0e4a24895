"""Where numbers come from: machine, versions, commit, command. Imports no torch."""

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
    """The time, as environment.json has it."""
    return current_time().isoformat(timespec="seconds")


def current_time() -> datetime.datetime:
    """The time with its zone, to order what finishes and what is registered."""
    return datetime.datetime.now().astimezone()


def environment(command: str, started: str) -> dict[str, Any]:
    """What a reader needs to judge or repeat a run: command, time, versions, commit, machine."""
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
    """The machine that timings belong to, with its GPUs if it has some."""
    found = gpus()
    return {
        "system": platform.system(),
        "processor": processor(),
        **({"id": identity} if (identity := machine_id()) else {}),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        **({"gpus": found} if found else {}),
    }


def gpus() -> list[str]:
    """Names of the NVIDIA GPUs, as the driver tells them.

    Where its files do not name them (Windows and its Linux) torch does, which planning imports
    there anyway. Not "if it is imported": a machine must always have the same name.
    """
    told = [
        line.partition(":")[2].strip()
        for path in sorted(DRIVER.glob("gpus/*/information"))
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.startswith("Model:")
    ]
    if told or not device.may_have_cuda():
        return told
    import torch

    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(index) for index in range(n_gpus)]


def runtime_versions() -> dict[str, str | None]:
    """What computes: Python, and the packages that numbers come from."""
    return {
        "python": platform.python_version(),
        "torch": package_version("torch"),
        "numpy": package_version("numpy"),
    }


def package_version(package: str) -> str | None:
    """The installed version of a package, or None; ours is known in a checkout too."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return checkout_version() if package == "ablab" else None


def checkout_version() -> str | None:
    """Our version as the checkout's pyproject.toml has it; None outside a checkout."""
    path = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if not path.exists():
        return None
    found = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"]
    return str(found)


def machine_id() -> str:
    """A short hash of the system's own identity, which tells equal machines apart; "" without."""
    try:
        text = Path("/etc/machine-id").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:8] if text else ""


def processor() -> str:
    """The processor's name as the system tells it."""
    if platform.system() == "Darwin":
        return _ask("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        pairs = (line.partition(":") for line in lines if ":" in line)
        told = {name.strip(): value.strip() for name, _, value in pairs}
        if "model name" in told:
            return told["model name"]
        if "CPU part" in told:  # Arm
            return f"{platform.machine()} {told.get('CPU implementer', '')} {told['CPU part']}"
    return platform.processor() or platform.machine()


def _ask(*command: str) -> str:
    """What a command of the system prints; "" where it is not there or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def git() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that the code lies in; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit, changed = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changed)}


def _git(root: Path, *words: str) -> str:
    """Return what git prints. Raises OSError or SubprocessError where it cannot be asked."""
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
    """A short name that no other process has: the process and the time."""
    return f"{os.getpid()}-{time.time_ns() % 10**9}"
