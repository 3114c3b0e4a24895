"""A sweep whose launcher loses a job: the other points count, and the lost one names its log."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from runner.plan import hydra_loader
from runner.plan.arguments import check_arguments
from runner.study import hydra_app, job_launching
from runner.study.job_launching import LostJobError
from runner.sweeps.command import SweepLaunch
from runner.sweeps.points import SweepPoint
from runner.sweeps.request import read_request
from runner.sweeps.task import JobOutcome, describe_failure

JOBS = [["experiment=moe", f"seed={seed}"] for seed in range(3)]


def launched(monkeypatch: pytest.MonkeyPatch, result: Any) -> tuple[list[Any], Exception | None]:
    """Return the outcomes of three jobs, the second of which has some result of its launcher."""
    hydra_loader.install_checked_loader()

    def launch(launcher: Any, jobs: list, first: int) -> list[Any]:  # noqa: ARG001
        done = [SimpleNamespace(return_value=JobOutcome("done", summary=job[1])) for job in jobs]
        return [done[0], result, done[2]]

    monkeypatch.setattr(job_launching, "launch", launch)
    return hydra_app.launch_jobs(
        [], JOBS, lambda _: None, lambda job, error, _: describe_failure(error, job)
    )


def test_a_lost_job_is_a_failed_point_with_a_log(monkeypatch, tmp_path: Path, capsys):
    log = tmp_path / "7_1_0_log.out"
    outcomes, failure = launched(monkeypatch, LostJobError("job 7_1 was killed", log))
    assert failure is None
    assert [one.state for one in outcomes] == ["done", "failed", "done"]
    assert outcomes[1].log == str(log)
    assert "job 7_1 was killed" in outcomes[1].message
    assert "seed=1" in capsys.readouterr().err


def test_the_point_of_a_lost_job_of_a_shared_study_names_the_log_of_the_job(monkeypatch):
    unreported = JobOutcome("failed", message="there is no report: no trial has a result")
    monkeypatch.setattr(SweepLaunch, "_do", lambda *_: unreported)
    request = read_request(check_arguments(["-m", "experiment=moe", "arm=dense,moe_top2"]))
    launch = SweepLaunch(request, Path("sweeps"))
    lost = JobOutcome("failed", message="job 7_1 was killed", log="/o/jobs/7_1_0_log.out")
    outcome = launch.finish(SweepPoint(is_shared=True), [JobOutcome("done"), lost])
    assert (outcome.message, outcome.log) == (unreported.message, lost.log)
    # Other commands have computed all trials: then nothing has failed.
    monkeypatch.setattr(SweepLaunch, "_do", lambda *_: JobOutcome("done"))
    assert launch.finish(SweepPoint(is_shared=True), [lost]) == JobOutcome("done")


def test_a_lost_job_stops_a_sweep_whose_yaml_says_fail_fast(tmp_path: Path):
    request = read_request(check_arguments(["-m", "experiment=moe", "n_seeds=1,2"]))
    assert not request.fails_fast
    launch = SweepLaunch(request, tmp_path)
    for fails_fast in (False, True):
        config = OmegaConf.create({"fail_fast": fails_fast})
        outcome = launch._refuse(["n_seeds=1"], LostJobError("job 7_1 was killed"), config)
        assert outcome.state == "failed"
        assert launch.stop_file.exists() == fails_fast


def test_an_error_of_a_job_is_that_points_alone(monkeypatch):
    class Failed:
        @property
        def return_value(self) -> None:
            raise ValueError("what the job raised")

    outcomes, failure = launched(monkeypatch, Failed())
    assert failure is None
    assert [one.state for one in outcomes] == ["done", "failed", "done"]
