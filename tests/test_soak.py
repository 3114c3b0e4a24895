"""A soak test: one process computes all experiments at smoke repeatedly, and nothing may grow.

It takes twenty minutes, or ABLAB_SOAK_MINUTES. Each round measures the memory of the process and of
all its children, open files, threads, children, temporary files and shared memory. The first two
rounds load code and fill caches; from then on the numbers must stay.
"""

import gc
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from runner import invocation, registry
from tests.support.composition import compose_config
from tests.support.environment import ROOT

MINUTES = float(os.environ.get("ABLAB_SOAK_MINUTES", "20"))
WARM = 2  # rounds
MIB = 2**20
ALLOWED = {"own MiB": 24.0, "all MiB": 64.0}
"""How much the last rounds may exceed the first warm ones; counts must not grow."""


def family() -> Iterator[int]:
    """Yield this process and all below it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):  # the process has exited
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    waiting = [os.getpid()]
    while waiting:
        process = waiting.pop()
        yield process
        waiting += parents.get(process, [])


def resident(process: int) -> float:
    """Return resident memory in MiB; a page shared by several processes counts in part."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:  # the process has exited
        return 0.0
    return next(
        int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:")
    )


def entries(folder: str) -> int:
    """Return the number of names in a folder."""
    return sum(1 for _ in Path(folder).iterdir())


def figures(temporary: Path) -> dict[str, float]:
    """Measure the sizes that must not grow."""
    gc.collect()
    processes = list(family())
    return {
        "own MiB": resident(os.getpid()),
        "all MiB": sum(map(resident, processes)),
        "handles": entries("/proc/self/fd"),
        "threads": threading.active_count(),
        "processes": len(processes),
        "temporary files": sum(1 for _ in temporary.rglob("*")),
        "shared memory": entries("/dev/shm"),
    }


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="figures are of Linux")
def test_nothing_grows_over_many_studies(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    temporary = Path(tempfile.gettempdir())
    until = time.monotonic() + 60 * MINUTES
    rounds: list[dict[str, float]] = []
    while time.monotonic() < until or len(rounds) < WARM + 2:
        for experiment in registry.experiment_names():
            folder = tmp_path / f"{len(rounds)}-{experiment}"
            folder.mkdir()
            GlobalHydra.instance().clear()
            with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
                invocation.run_and_report(
                    *compose_config(folder, [f"experiment={experiment}", "scale=smoke"])
                )
        rounds.append(figures(temporary))
        with capsys.disabled():
            sizes = ", ".join(f"{name} {value:.0f}" for name, value in rounds[-1].items())
            print(f"round {len(rounds)}: {sizes}", flush=True)  # noqa: T201
    warm = rounds[WARM:]
    some = max(1, len(warm) // 3)
    for name in warm[0]:
        before = statistics.median(one[name] for one in warm[:some])
        after = statistics.median(one[name] for one in warm[-some:])
        assert after - before <= ALLOWED.get(name, 0.0), f"{name} grew from {before} to {after}"
