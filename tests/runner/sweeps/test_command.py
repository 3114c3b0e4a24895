"""The command of a sweep: its jobs in any launcher, its last lines, and its exit code."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore

from runner import __main__ as command_main
from runner.config import ConfigError, StudyError
from runner.study.study_part import StudyPart
from runner.sweeps import report as sweep_report
from runner.sweeps.command import SweepLaunch
from runner.sweeps.outcomes import NO_LOG, PointOutcome, describe_points, find_exit_code
from runner.sweeps.points import SweepPoint
from runner.sweeps.task import JobOutcome, describe_failure

Calls = list[tuple[StudyPart, int, Any]]


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, Calls]]:
    """Run a command with `-m` whose studies compute nothing; return exit code and calls.

    `fails` are the seeds at which a study raises an error.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    target = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
    store = ConfigStore.instance()
    store.store(group="hydra/launcher", name="elsewhere", node={"_target_": target})
    # Reports of studies that computed nothing have no files.
    monkeypatch.setattr(sweep_report, "report_sweep", lambda folder, *_: folder / "report.html")

    def run(*words: str, fails: dict[int, Exception] | None = None) -> tuple[int, Calls]:
        calls: Calls = []

        def run_study(config: Any, _: Any, __: str = "", *, part: StudyPart) -> Any:
            calls.append((part, int(config.seed), config.arm))
            if part is not StudyPart.opening and (error := (fails or {}).get(config.seed)):
                raise error
            summary = "" if part is StudyPart.opening else f"moe: 4 trials of seed {config.seed}"
            folder = tmp_path / "run" if part in (StudyPart.whole, StudyPart.report) else None
            plan = SimpleNamespace(experiment="moe")
            return SimpleNamespace(plan=plan, folder=folder, summary=summary)

        monkeypatch.setattr("runner.invocation.run_study", run_study)
        own = [] if any("experiment=" in word for word in words) else ["experiment=moe"]
        monkeypatch.setattr("sys.argv", ["runner", "-m", *own, *words])
        try:
            command_main.compose_and_run(full_error=False)
        except SystemExit as end:
            return int(end.code or 0), calls
        return 0, calls

    return run


@pytest.mark.parametrize("launcher", ["basic", "elsewhere"])
def test_a_sweep_is_summed_up_wherever_its_points_ran(launcher: str, sweep, capsys):
    refusal = {1: ConfigError("seed=1 is refused")}
    typed = ("n_seeds=1", "training.steps=40,50", "seed=0,3", f"hydra/launcher={launcher}")
    assert sweep(*typed)[0] == 0
    code, calls = sweep("n_seeds=1", "seed=1,3", f"hydra/launcher={launcher}", fails=refusal)
    told = capsys.readouterr()
    assert code == 2
    assert [call[:2] for call in calls] == [(StudyPart.whole, 1), (StudyPart.whole, 3)]
    assert (
        "1 point done, 1 failed:\nseed=1: refused: seed=1 is refused\nseed=3: 4 trials" in told.out
    )
    assert "ablab: seed=1 is refused (python -m runner experiment=moe n_seeds=1 seed=1)" in told.err
    assert "Error executing job" not in told.err


def test_jobs_of_one_study_compute_and_the_command_reports_once(sweep, capsys):
    code, calls = sweep("arm=dense,moe_top2", "seed=0,1", "n_seeds=1")
    assert code == 0
    assert [part for part, *_ in calls] == [
        StudyPart.opening,
        *[StudyPart.trials] * 4,
        StudyPart.report,
    ]
    assert [seed for _, seed, _ in calls] == [0, 0, 1, 0, 1, 0]
    assert list(calls[-1][2]) == ["dense", "moe_top2"]
    assert "report.html" not in capsys.readouterr().out  # one study has no page over points


def test_a_study_of_each_value_is_reported_after_its_jobs(sweep):
    code, calls = sweep("training.steps=40,50", "seed=0,1", "n_seeds=1")
    assert code == 0
    assert [part for part, *_ in calls] == [
        *[StudyPart.opening] * 2,
        *[StudyPart.trials] * 4,
        *[StudyPart.report] * 2,
    ]


def test_a_failed_point_does_not_stop_the_others(sweep, capsys):
    failure = StudyError("2 of 4 trials failed")
    code, calls = sweep("seed=0,3", "n_seeds=1", fails={0: failure})
    assert code == 1
    assert len(calls) == 2
    assert "seed=0: failed: 2 of 4 trials failed" in capsys.readouterr().out


@pytest.mark.parametrize("launcher", ["basic", "elsewhere"])
def test_fail_fast_ends_a_sweep_at_its_first_failed_point(launcher: str, sweep, capsys):
    typed = ("seed=0,3,6", "n_seeds=1", "fail_fast=true", f"hydra/launcher={launcher}")
    code, calls = sweep(*typed, fails={0: StudyError("a trial failed")})
    told = capsys.readouterr().out
    assert code == 1
    assert len(calls) == 1
    assert "0 points done, 1 failed, 2 not run:" in told
    assert told.count("not run, because an earlier point failed and fail_fast=true") == 2
    assert not Path("outputs").exists()


def test_a_config_that_cannot_be_composed_is_a_failed_point(sweep, tmp_path: Path, capsys):
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "good.yaml").write_text("# @package _global_\ndefaults: [moe, _self_]\n")
    (folder / "bad.yaml").write_text("# @package _global_\ndefaults: [absent, _self_]\n")
    code, calls = sweep("--config-dir=mine", "experiment=bad,good", "seed=5")
    told = capsys.readouterr()
    assert code == 2
    assert [call[:2] for call in calls] == [(StudyPart.whole, 5)]
    assert "experiment=bad: refused: " in told.out
    assert "experiment=good: 4 trials of seed 5" in told.out
    assert "absent" in told.err
    assert "Traceback" not in told.err


def test_outputs_that_cannot_be_written_are_one_message(sweep, tmp_path: Path):
    (tmp_path / "file").touch()
    for text in ("outputs=file", "outputs="):
        with pytest.raises(ConfigError, match=r"^outputs.*(is a file|is empty)"):
            sweep("seed=0,2", text)


@pytest.mark.parametrize("swept", ["ffn.n_experts=4,8", "arm=dense,moe_top2"])
@pytest.mark.parametrize("plan", ["only", "run"])
def test_a_setting_that_the_launcher_lacks_is_refused_first(
    sweep, swept: str, plan: str, monkeypatch
):
    monkeypatch.setattr(SweepLaunch, "_do", lambda *_: pytest.fail("a study was planned"))
    with pytest.raises(Exception, match="njobs"):
        sweep(swept, "hydra/launcher=basic", "hydra.launcher.njobs=2", f"plan={plan}")
    assert not Path("outputs").exists()


@pytest.mark.parametrize("swept", ["ffn.n_experts=4,8", "arm=dense,moe_top2"])
@pytest.mark.parametrize("plan", ["only", "run"])
def test_a_launcher_that_can_start_no_point_is_refused_first(
    sweep, swept: str, plan: str, monkeypatch
):
    def refuse(_: object) -> None:
        raise ConfigError("no point could start")

    monkeypatch.setattr("runner.study.job_launching.check_settings", refuse)
    with pytest.raises(ConfigError, match="no point could start"):
        sweep(swept, f"plan={plan}")
    assert not Path("outputs").exists()


def test_a_value_that_appears_twice_is_computed_once_and_noted(sweep, capsys):
    code, calls = sweep("training.steps=40,50,40")
    assert (code, len(calls)) == (0, 2)
    assert "note: 3 combinations of values are only 2 jobs" in capsys.readouterr().out


def test_a_page_that_cannot_be_written_costs_no_report(sweep, monkeypatch, capsys):
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sweep_report, "report_sweep", fail)
    code, _ = sweep("training.steps=40,50")
    told = capsys.readouterr()
    assert code == 1
    assert "the page of the sweep could not be written: " in told.err
    assert "No space left on device" in told.err
    assert told.out.count("4 trials of seed 0") == 2


def outcome(state: Any, **fields: Any) -> PointOutcome:
    return PointOutcome(SweepPoint({"seed": 3}), JobOutcome(state, **fields))


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["done", "done"], 0),
        (["done", "failed"], 1),
        (["done", "refused"], 2),
        (["refused", "failed"], 1),
        (["refused", "refused"], 2),
        (["failed", "not run"], 1),
    ],
)
def test_the_exit_code_of_a_sweep(states: Sequence[Any], code: int):
    assert find_exit_code([outcome(state) for state in states]) == code


def test_an_error_ends_with_the_whole_command_of_its_point(capsys: pytest.CaptureFixture[str]):
    overrides = ["experiment=moe", *(f"ffn.some_long_key_{i}=4" for i in range(9)), "seed=3"]
    describe_failure(ConfigError("no " * 200), overrides)
    command = capsys.readouterr().err.rpartition(" (")[2]
    assert command == f"python -m runner {shlex.join(overrides)})\n"


def test_the_last_lines_name_points_logs_and_the_page():
    outcomes = [
        outcome("done", summary="moe: 4 trials, 0 reused: a/report.html", folder="/o/a"),
        outcome("failed", message="1 of 4 trials failed\nmore", log="/o/log.txt", folder="/o/b"),
    ]
    assert describe_points(outcomes, Path("outputs/sweeps/x/report.html")).splitlines() == [
        "",
        "1 point done, 1 failed:",
        "seed=3: 4 trials, 0 reused: a/report.html",
        "seed=3: failed: 1 of 4 trials failed; log: /o/log.txt; report of its other trials: /o/b",
        "table and figures over the points: outputs/sweeps/x/report.html",
    ]


def test_a_failed_point_without_a_log_says_so():
    assert outcome("failed", message="1 trial failed").line == (
        f"seed=3: failed: 1 trial failed; {NO_LOG}"
    )
    assert NO_LOG not in outcome("not run", message="not run").line


def test_plans_are_not_said_to_be_done():
    points = [SweepPoint({"seed": seed}) for seed in (0, 1)]
    planned = [PointOutcome(one, JobOutcome("done", "plan=only: nothing")) for one in points]
    assert describe_points(planned, None).splitlines()[1] == "2 points planned, 0 failed:"
    done = PointOutcome(points[0], JobOutcome("done", "moe: 4 trials", folder="/o/run"))
    assert describe_points([done, planned[1]], None).splitlines()[1] == (
        "1 point planned, 1 point done, 0 failed:"
    )
