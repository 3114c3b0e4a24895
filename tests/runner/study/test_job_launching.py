"""Jobs of launchers: lost ones are launched again, with fakes of the launchers' engines."""

import contextlib
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from omegaconf import OmegaConf

from runner.config import ConfigError
from runner.plan.launchers import CORES, Engine
from runner.study import job_launching
from runner.study.job_launching import JobTask, LostJobError

JOBS = [["workers=1", f"seed={seed}"] for seed in range(5)]


class FakeLauncher:
    """A launcher whose `launch` is given, with a config as Hydra sets it."""

    def __init__(self, choice: str, settings: dict, launch: Callable[[list], Sequence[Any]]):
        choices = {"hydra/launcher": choice}
        hydra = {"runtime": {"choices": choices}, "launcher": settings}
        self.config, self.task_function = OmegaConf.create({"hydra": hydra}), len
        self._launch, self.batches = launch, list[list[str]]()

    def launch(self, job_overrides: list, initial_job_idx: int) -> Sequence[Any]:  # noqa: ARG002
        self.batches.append([texts[-1] for texts in job_overrides])
        return self._launch(job_overrides)


def launched(launcher: Any) -> list[Any]:
    return job_launching.launch(launcher, JOBS, 0)


def test_the_jobs_of_a_killed_pool_are_launched_again(capsys):
    def launch(jobs: list) -> list[str]:
        if len(launcher.batches) == 1:
            raise BrokenProcessPool("a worker was killed")
        return [f"done {texts[-1]}" for texts in jobs]

    launcher = FakeLauncher("processes", {"n_jobs": 2}, launch)
    assert launched(launcher) == [f"done seed={seed}" for seed in range(5)]
    assert len(launcher.batches) == 2
    assert "note: 5 jobs ended without a result; launched again" in capsys.readouterr().out


def test_an_error_of_a_later_batch_leaves_the_results_of_the_earlier_ones(monkeypatch):
    def launch(jobs: list) -> list[str]:
        if len(launcher.batches) == 2:
            raise OSError(28, "No space left on device")
        return [f"done {texts[-1]}" for texts in jobs]

    monkeypatch.setattr(job_launching.device, "cores", lambda: 2)
    launcher = FakeLauncher("slurm_local", {}, launch)
    monkeypatch.setattr(job_launching, "submitted_jobs", lambda _: contextlib.nullcontext())
    results = launched(launcher)
    assert launcher.batches == [["seed=0", "seed=1"], ["seed=2", "seed=3"], ["seed=4"]]
    assert [results[i] for i in (0, 1, 4)] == [f"done seed={i}" for i in (0, 1, 4)]
    assert all("No space left" in str(results[i]) for i in (2, 3))


def test_jobs_that_are_always_killed_are_given_up():
    def launch(jobs: list) -> list[str]:  # noqa: ARG001
        raise BrokenProcessPool("a worker was killed")

    launcher = FakeLauncher("processes", {"n_jobs": 2}, launch)
    assert all(isinstance(result, LostJobError) for result in launched(launcher))
    assert len(launcher.batches) == job_launching.MAX_LAUNCHES


def test_other_errors_of_a_launcher_are_not_hidden():
    def launch(jobs: list) -> list[str]:  # noqa: ARG001
        raise RuntimeError("sbatch: error: invalid partition")

    with pytest.raises(RuntimeError, match="invalid partition"):
        launched(FakeLauncher("processes", {"n_jobs": 2}, launch))


@pytest.mark.parametrize("error", [ValueError("n_jobs == 0"), ZeroDivisionError("by zero")])
def test_settings_that_a_launcher_refuses_are_bad_input(error: Exception):
    def launch(jobs: list) -> list[str]:  # noqa: ARG001
        raise error

    with pytest.raises(ConfigError, match="hydra/launcher=processes has refused its settings"):
        launched(FakeLauncher("processes", {"n_jobs": 2}, launch))


def test_a_ray_cluster_that_is_absent_is_named():
    def launch(jobs: list) -> list[str]:  # noqa: ARG001
        raise ConnectionError("Could not find any running Ray instance.")

    launcher = FakeLauncher("ray_cluster", {"ray": {"remote": {"num_cpus": 1}}}, launch)
    with pytest.raises(ConfigError, match="no Ray cluster answers; start one with ray start"):
        launched(launcher)


@pytest.mark.parametrize(
    ("init", "remote", "words"),
    [
        ({}, {"num_cpus": 3}, "remote.num_cpus=3: no point could start, because Ray has only 2"),
        ({"num_cpus": 1}, {"num_cpus": 2}, "only 1 here"),
        ({"num_cpus": 4}, {"num_cpus": 3}, ""),
        ({}, {"num_cpus": 1, "num_gpus": 0.5}, "remote.num_gpus=0.5: no point could start"),
        ({"num_gpus": 1}, {"num_gpus": 1}, ""),
    ],
)
def test_a_point_that_could_never_start_in_ray_is_refused(
    monkeypatch, init: dict, remote: dict, words: str
):
    monkeypatch.setattr(job_launching.device, "cores", lambda: 2)
    monkeypatch.setattr(job_launching.device, "may_have_cuda", lambda: False)
    settings = {"ray": {"init": init, "remote": remote}}
    launcher = FakeLauncher("ray_local", settings, pytest.fail)
    if words:
        with pytest.raises(ConfigError, match=words):
            job_launching.check_settings(launcher)
    else:
        job_launching.check_settings(launcher)


def test_hydras_own_launcher_is_called_as_it_is():
    launcher = BasicLauncher()
    calls = []
    launcher.launch = lambda jobs, initial_job_idx: calls.append((jobs, initial_job_idx)) or [1]  # type: ignore[method-assign]
    assert job_launching.launch(launcher, [["seed=1"]], 7) == [1]
    assert calls == [([["seed=1"]], 7)]


@pytest.mark.parametrize(
    ("engine", "settings", "jobs", "expected"),
    [
        (Engine.joblib, {"n_jobs": -1}, 24, (24, 1)),
        (Engine.joblib, {"n_jobs": -2}, 24, (24, 1)),
        (Engine.joblib, {"n_jobs": 2}, 24, (24, 4)),
        (Engine.joblib, {"n_jobs": -1}, 3, (3, 2)),
        (Engine.submitit_local, {}, 24, (8, 1)),
        (Engine.submitit_local, {}, 2, (8, 4)),
        (Engine.slurm, {}, 24, (24, None)),
        (Engine.ray, {"ray": {"remote": {"num_cpus": 3}}}, 24, (24, 3)),
        (Engine.ray, {"ray": {"remote": {"num_cpus": 0.5}}}, 24, (24, 1)),
        (None, {}, 24, (24, None)),
    ],
)
def test_jobs_share_the_cores(monkeypatch, engine, settings: dict, jobs: int, expected: tuple):
    monkeypatch.setattr("runner.device.cores", lambda: 8)
    texts = [["seed=0"]] * jobs
    assert job_launching.share_cores(engine, OmegaConf.create(settings), texts) == expected


def test_typed_workers_leave_fewer_jobs_at_a_time(monkeypatch):
    monkeypatch.setattr("runner.device.cores", lambda: 8)
    for workers, expected in ((4, (2, 4)), (0, (8, 1))):
        texts = [[f"++workers={workers}"]] * 24
        shared = job_launching.share_cores(Engine.submitit_local, OmegaConf.create({}), texts)
        assert shared == expected


def environment_of_job(config: Any) -> tuple[Any, str | None, str]:
    return config, os.environ.get(CORES), os.path.realpath(".")


def test_a_task_travels_to_the_process_of_its_job(monkeypatch, tmp_path: Path):
    monkeypatch.setenv(CORES, "7")
    task = pickle.loads(pickle.dumps(JobTask(environment_of_job, str(tmp_path), 2)))
    monkeypatch.chdir("/")
    assert task("config") == ("config", "2", str(tmp_path))


def test_a_machine_without_the_folder_of_the_command_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"cannot be used on .* under the same path"):
        JobTask(environment_of_job, str(tmp_path / "absent"))(None)  # type: ignore[arg-type]


def test_the_value_of_a_lost_job_is_its_error():
    assert job_launching.value_of(SimpleNamespace(return_value=3)) == 3  # type: ignore[arg-type]
    with pytest.raises(LostJobError, match="killed"):
        job_launching.value_of(LostJobError("killed"))


class FailedJobError(Exception):
    """An error within a job."""


class UncompletedJobError(Exception):
    """A job without a result."""


class FakeJob:
    """A job of submitit with some outcome."""

    job_id = "17_3"

    def __init__(self, folder: Path, outcome: Any, state: str = "FAILED") -> None:
        self.paths = SimpleNamespace(folder=folder / "17", stdout=folder / "17" / "17_3_0_log.out")
        self.outcome, self.state, self.is_cancelled = outcome, state, False

    def results(self) -> list[Any]:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return [self.outcome]

    def cancel(self, check: bool) -> None:  # noqa: ARG002
        self.is_cancelled = True


@pytest.fixture
def submitit(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A fake of submitit; the test sets `jobs`, a function of the overrides."""
    module: Any = ModuleType("submitit")
    errors = SimpleNamespace(FailedJobError=FailedJobError, UncompletedJobError=UncompletedJobError)
    fake = SimpleNamespace(jobs=None, submitted=[])

    class Executor:
        def map_array(self, _: object, overrides: list) -> list[FakeJob]:
            jobs = [fake.jobs(texts) for texts in overrides]
            fake.submitted += jobs
            return jobs

    class AutoExecutor(Executor):
        pass

    module.core = SimpleNamespace(core=SimpleNamespace(Executor=Executor), utils=errors)
    module.AutoExecutor = AutoExecutor
    monkeypatch.setitem(sys.modules, "submitit", module)

    def launch(jobs: list) -> list[Any]:
        return [job.results()[0] for job in AutoExecutor().map_array(len, jobs)]

    fake.launcher = FakeLauncher("slurm", {}, launch)
    return fake


def test_only_lost_jobs_of_submitit_are_submitted_again(submitit, tmp_path: Path, capsys):
    def job(texts: list[str]) -> FakeJob:
        first_time = texts == JOBS[3] and len(submitit.launcher.batches) == 1
        return FakeJob(tmp_path, UncompletedJobError("?") if first_time else texts[-1])

    submitit.jobs = job
    assert launched(submitit.launcher) == [texts[-1] for texts in JOBS]
    assert submitit.launcher.batches == [[texts[-1] for texts in JOBS], ["seed=3"]]
    out = capsys.readouterr().out
    assert "1 job ended without a result; launched again" in out
    assert f"output of the jobs: {tmp_path}" in out


@pytest.mark.parametrize(
    ("outcome", "state", "words"),
    [
        (UncompletedJobError("?"), "CANCELLED by 1000", "job 17_3 was cancelled"),
        (FailedJobError("a trace\nValueError: 3"), "FAILED", "job 17_3 failed: ValueError: 3"),
        (
            FailedJobError(
                "a trace\nValueError: 4\n\n-------\nYou can check full logs with 'job.stderr(0)' "
                "or at paths:\n  - 17_3_0_log.err\n  - 17_3_0_log.out"
            ),
            "FAILED",
            "job 17_3 failed: ValueError: 4",
        ),
        (
            FailedJobError("a trace\nJob not requeued because: timed-out too many times."),
            "TIMEOUT",
            "job 17_3 reached its time limit too often; raise hydra.launcher.timeout_min",
        ),
    ],
)
def test_a_job_that_another_try_would_not_help_names_its_log(
    submitit, tmp_path: Path, outcome: Exception, state: str, words: str
):
    submitit.jobs = lambda texts: FakeJob(
        tmp_path, outcome if texts == JOBS[0] else texts[-1], state
    )
    lost, *others = launched(submitit.launcher)
    assert others == [texts[-1] for texts in JOBS[1:]]
    assert isinstance(lost, LostJobError)
    assert words in str(lost)
    assert lost.log == tmp_path / "17" / "17_3_0_log.out"
    assert len(submitit.launcher.batches) == 1


@pytest.mark.usefixtures("submitit")
@pytest.mark.parametrize("fails", [False, True])
def test_the_literal_folder_of_submitit_is_removed(tmp_path: Path, fails: bool):
    folder = tmp_path / "jobs" / "%j"

    def launch(_: list) -> list[Any]:
        folder.mkdir(parents=True)
        if fails:
            raise ValueError("partition is refused")
        (tmp_path / "jobs" / "7").mkdir()
        return [1] * len(JOBS)

    launcher = FakeLauncher("slurm", {"submitit_folder": f"{folder}"}, launch)
    with contextlib.suppress(ConfigError):
        launched(launcher)
    assert [path.name for path in tmp_path.rglob("*")] == ([] if fails else ["jobs", "7"])


def test_ctrl_c_cancels_all_jobs(submitit, tmp_path: Path):
    submitit.jobs = lambda _: FakeJob(tmp_path, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        launched(submitit.launcher)
    assert [job.is_cancelled for job in submitit.submitted] == [True] * len(JOBS)
    assert "map_array" not in vars(sys.modules["submitit"].AutoExecutor)
