"""Where numbers come from: code, machine, versions, command. Imports no torch."""

import ast
import datetime
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from runner import registry

ENGINE = tuple(
    f"runner.{name}"
    for name in ("training", "trial", "checkpoint", "optimizer", "measure", "device")
)
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


def code_hash(experiment: str) -> str:
    """Hash of the code behind an experiment's numbers.

    Its module, what that imports from `experiments`, the training loop.
    """
    todo, seen = [f"experiments.{experiment}", *ENGINE], {}
    while todo:
        module = todo.pop()
        path = registry.source(module)
        if module in seen or path is None:
            continue
        seen[module] = path.read_bytes()
        names = imported(seen[module])
        todo += [n for n in names if n.startswith("experiments.") and registry.source(n)]
    digest = hashlib.sha256()
    for module in sorted(seen):
        digest.update(module.encode() + b"\0" + seen[module])
    return digest.hexdigest()[:16]


def imported(source: bytes) -> set[str]:
    """Names that a module imports.

    `a.b` for `import a.b`, and both `a` and `a.b` for `from a import b`.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def now() -> str:
    """The time, as environment.json has it."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def environment(command: str, started: str) -> dict[str, Any]:
    """What a reader needs to judge or repeat a run: command, time, versions, commit, machine."""
    return {
        "command": command,
        "started": started,
        "reported": now(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "git": git(),
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """The machine that timings belong to."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }


def version(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's name as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def git() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that the code lies in; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
        dirty = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(dirty)}


def token() -> str:
    """A short name that no other process has: the process and the time."""
    return f"{os.getpid()}-{time.time_ns() % 10**9}"
