"""The GPUs of a process and of each trial, with a faked number of devices: no GPU is needed."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from runner.config import DeviceName
from runner.plan import gpus
from runner.plan.plan import count_workers
from runner.study import pool
from runner.study.trial_process import TrialProcess


@pytest.fixture(autouse=True)
def _four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let CUDA report four GPUs."""
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.setattr(gpus, "count_gpus", lambda: 4)


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        (None, ["0", "1", "2", "3"]),
        ("2,3", ["2", "3"]),
        (" 3 , 0 ", ["3", "0"]),
        ("1,-1,2", ["1"]),
        ("", []),
        ("-1", []),
        ("0,1,2,3,4,5", ["0", "1", "2", "3"]),
        ("GPU-5fb1a0b7-1111", ["GPU-5fb1a0b7-1111"]),
        ("MIG-a/1/0,MIG-b", ["MIG-a/1/0", "MIG-b"]),
    ],
)
def test_gpus_have_the_names_of_the_inherited_list(monkeypatch, listed: str | None, names: list):
    if listed is not None:
        monkeypatch.setenv(gpus.VISIBLE, listed)
    assert gpus.visible_gpus() == names


def test_a_trial_gets_the_gpu_with_the_fewest_trials():
    names = ["2", "3"]
    assert gpus.least_used(names, []) == "2"
    assert gpus.least_used(names, ["2"]) == "3"
    assert gpus.least_used(names, ["2", "3", "2"]) == "3"
    assert gpus.least_used([], []) is None


def arm(device: DeviceName, per_gpu: int = 1) -> Any:
    options = SimpleNamespace(trials_per_gpu=per_gpu)
    return SimpleNamespace(device=device, config=SimpleNamespace(device=options))


def workers(*arms: Any, typed: object = "auto", trials: int = 1000) -> int:
    return count_workers(SimpleNamespace(workers=typed), trials, arms)  # type: ignore[arg-type]


def test_auto_workers_are_the_gpus_times_the_trials_of_each(monkeypatch):
    monkeypatch.setattr("runner.plan.launchers.job_cores", lambda: 7)
    assert workers(arm(DeviceName.cpu)) == workers() == 7
    assert workers(arm(DeviceName.cuda)) == 4
    assert workers(arm(DeviceName.cuda, 3)) == 12
    assert workers(arm(DeviceName.cuda, 3), trials=5) == 5
    assert workers(arm(DeviceName.cuda, 3), arm(DeviceName.cuda, 2)) == 8
    assert workers(arm(DeviceName.cuda), typed=6) == 6
    monkeypatch.setenv(gpus.VISIBLE, "2,3")
    assert workers(arm(DeviceName.cuda)) == 2


class Context:
    """A multiprocessing context that notes processes and starts none."""

    def __init__(self) -> None:
        self.targets: list[tuple[Any, ...]] = []

    def Pipe(self, duplex: bool) -> tuple[Any, Any]:  # noqa: ARG002, N802
        return SimpleNamespace(close=lambda: None), SimpleNamespace(close=lambda: None)

    def Process(self, args: tuple[Any, ...], **_: object) -> Any:  # noqa: N802
        self.targets.append(args)
        return SimpleNamespace(start=lambda: None)


def started(monkeypatch: pytest.MonkeyPatch, device: DeviceName, n_jobs: int) -> list[Any]:
    """Return the GPU that each of some parallel jobs gets."""
    monkeypatch.setattr(pool.forkserver, "ensure_running", lambda: None)
    monkeypatch.setattr(pool.main_module, "leave_out_main_module", lambda: None)
    job, context, running = SimpleNamespace(device=device, arm="a", seed=0), Context(), []
    for _ in range(n_jobs):
        pool.start_process(context, job, running)  # type: ignore[arg-type]
    assert [process.gpu for process in running] == [args[2] for args in context.targets]
    assert all(isinstance(process, TrialProcess) for process in running)
    return [args[2] for args in context.targets]


def test_parallel_trials_are_spread_over_the_gpus(monkeypatch):
    assert started(monkeypatch, DeviceName.cpu, 2) == [None, None]
    monkeypatch.setenv(gpus.VISIBLE, "MIG-b,MIG-a")
    assert started(monkeypatch, DeviceName.cuda, 4) == ["MIG-b", "MIG-a", "MIG-b", "MIG-a"]
    # A timing pass has one process at a time, so it has a GPU alone.
    assert started(monkeypatch, DeviceName.cuda, 1) == ["MIG-b"]


def test_the_process_of_a_trial_sees_one_gpu(monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, "2,3")
    gpus.restrict_to(None)
    assert os.environ[gpus.VISIBLE] == "2,3"
    gpus.restrict_to("3")
    assert os.environ[gpus.VISIBLE] == "3"
    assert gpus.visible_gpus() == ["3"]
