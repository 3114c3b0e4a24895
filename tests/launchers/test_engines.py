"""The real engines: each trial once, the same bits as the serial run, also if jobs are killed."""

import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launchers.sweeps import (
    STUDY,
    completions,
    finish,
    job_in_training,
    kill,
    run,
    start,
    trials,
)
from tests.support.ray_nodes import ray_cluster, ray_environment

pytestmark = pytest.mark.long
ARMS = ("dense", "moe_top2", "moe_no_balance", "moe_top1")
N_SEEDS = 6
LONGER = (*STUDY, "training.steps=3000", "training.checkpoint_every=100", "arm=dense", "n_seeds=1")


def sweep(n_arms: int, n_seeds: int) -> list[str]:
    """Return a sweep with one point for each arm and seed."""
    seeds = ",".join(map(str, range(n_seeds)))
    return ["-m", *STUDY, f"arm={','.join(ARMS[:n_arms])}", f"seed={seeds}", "n_seeds=1"]


def whole(n_arms: int, n_seeds: int) -> list[str]:
    """Return the command of the same trials without `-m`."""
    return [*STUDY, f"arm=[{','.join(ARMS[:n_arms])}]", f"n_seeds={n_seeds}"]


def check(folder: Path, serial: Path, n_arms: int, n_seeds: int) -> None:
    """Check that each trial was computed once and equals that of the serial run."""
    out = run(folder, *whole(n_arms, n_seeds))
    assert f"{n_arms * n_seeds} trials: all reused, only the report is written" in out
    counts = completions(folder)
    assert len(counts) == n_arms * n_seeds
    assert set(counts.values()) == {1}
    assert trials(folder) == trials(serial)


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all trials were computed by one command, one at a time."""
    folder = tmp_path_factory.mktemp("serial")
    run(folder, *whole(len(ARMS), N_SEEDS))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the trials of two arms and two seeds."""
    folder = tmp_path_factory.mktemp("small")
    run(folder, *whole(2, 2))
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one longer trial."""
    folder = tmp_path_factory.mktemp("alone")
    run(folder, *LONGER)
    return folder


@pytest.fixture
def temporary() -> Iterator[str]:
    """A folder with a short path."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ray") as folder:
        yield folder


@pytest.mark.parametrize("launcher", ["processes", "slurm_local", "ray_local"])
def test_a_launcher_computes_each_trial_once(small: Path, tmp_path: Path, launcher: str):
    from runner.plan import launchers

    pytest.importorskip(launchers.PRESETS[launcher].module)
    words = [*sweep(2, 2), f"hydra/launcher={launcher}"]
    out = run(tmp_path, *words, environment=ray_environment(tmp_path / "home"))
    assert "moe: 4 trials: " in out
    if launcher == "slurm_local":
        folder = Path(out.rpartition("output of the jobs: ")[2].strip())
        logs = [path.read_text() for path in (tmp_path / folder).glob("*/*_log.out")]
        assert len(logs) == 4
        assert all("[1/1]" in text for text in logs)
    check(tmp_path, small, 2, 2)


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM, signal.SIGKILL])
def test_a_job_that_is_taken_away_resumes(alone: Path, tmp_path: Path, number: int):
    """SIGUSR2 comes before the time limit; its job is queued again, others are launched again."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    process = start(tmp_path, "-m", *LONGER, "hydra/launcher=slurm_local")
    try:
        kill(job_in_training(tmp_path, "submitit.core._submit", [process]), number)
    finally:
        finish(process)
    out = (tmp_path / "slurm_local.log").read_text()
    assert ("launched again" in out) == (number != signal.SIGUSR2)
    job_logs = [path.read_text() for path in tmp_path.rglob("*_log.*")]
    assert any("Requeued job" in text for text in job_logs) == (number == signal.SIGUSR2)
    results = list(tmp_path.glob("outputs/moe/trials/*/seed-*/result.json"))
    assert len(results) == 1
    assert '"from_step": 0' not in results[0].read_text()
    assert trials(tmp_path) == trials(alone)


def test_two_launchers_share_a_store_and_survive_a_killed_worker(
    serial: Path, tmp_path: Path, temporary: str
):
    """24 points, by a Ray cluster of two nodes and by submitit at once; a Ray job gets SIGKILL."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    points = sweep(len(ARMS), N_SEEDS)
    with ray_cluster(tmp_path, temporary) as address:
        where = f"hydra.launcher.ray.init.address={address}"
        began = time.monotonic()
        by_ray = start(
            tmp_path,
            *(*points, where, "hydra/launcher=ray_cluster"),
            environment=ray_environment(tmp_path / "home"),
        )
        by_submitit = start(tmp_path, *points, "hydra/launcher=slurm_local")
        try:
            kill(job_in_training(tmp_path, "ray::", [by_ray]), signal.SIGKILL)
        finally:
            finish(by_ray)
            finish(by_submitit)
        print(f"24 points by two launchers at once: {time.monotonic() - began:.0f} s")  # noqa: T201
    check(tmp_path, serial, len(ARMS), N_SEEDS)
