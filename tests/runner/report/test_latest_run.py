"""`latest` names the newest run, as a link or as a file, and leads nowhere else."""

import datetime
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.config import Scale
from runner.plan.plan import Plan
from runner.plan.report_spec import read_report_spec
from runner.report import run_folder, study_report
from runner.report.latest_run import find_newest_run, read_latest, renew_latest
from runner.study.entries import list_trials
from tests.support.finished_study import (  # noqa: F401
    finished_outputs,
    finished_plan,
    finished_study_folder,
    replan,
)

Again = Callable[..., Plan]


def make_run(experiment: Path, name: str = "2026-11-26_04-51-06_quick") -> Path:
    run = experiment / "runs" / name
    run.mkdir(parents=True)
    return run


@pytest.fixture(params=["a link", "a file"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both kinds of `latest`: where links cannot be made, Python raises OSError."""
    if request.param == "a file":

        def refuse(*_: object, **__: object) -> None:
            raise OSError("a required privilege is not held by the client")

        monkeypatch.setattr(Path, "symlink_to", refuse)
    return str(request.param)


def test_every_report_renews_it(replan: Again, kind: str) -> None:  # noqa: F811
    plan = replan()
    experiment = plan.outputs / "moe"
    earlier = read_latest(experiment)
    assert earlier is not None
    spec = replace(read_report_spec(plan.study), figures={})
    folder = study_report.report_study(plan, list_trials(plan), spec)
    assert folder is not None
    assert folder.name > earlier.name
    assert read_latest(experiment) == folder
    latest = experiment / "latest"
    assert latest.is_symlink() == (kind == "a link")
    if kind == "a link":
        assert os.readlink(latest) == f"runs/{folder.name}"  # noqa: PTH115
    else:
        assert latest.read_text() == f"runs/{folder.name}\n"
    assert not [*experiment.glob(".latest*")]


def test_a_link_moves_with_its_folder_and_a_new_kind_replaces_the_old(
    tmp_path: Path, kind: str
) -> None:
    first, second = (make_run(tmp_path / "moe", f"2026-11-26_04-51-0{n}_quick") for n in (6, 7))
    (tmp_path / "moe" / "latest").write_text("runs/x")
    assert renew_latest(first) == ""
    assert read_latest(tmp_path / "moe") == first
    (tmp_path / "moe" / "latest").unlink()
    (tmp_path / "moe" / "latest").touch()
    assert renew_latest(second) == ""
    (tmp_path / "moe").rename(tmp_path / "moved")
    assert read_latest(tmp_path / "moved") == tmp_path / "moved" / "runs" / second.name
    assert kind


def test_a_folder_in_its_place_is_left_and_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "moe")
    (tmp_path / "moe" / "latest" / "mine").mkdir(parents=True)
    line = renew_latest(run)
    assert line.startswith(f"{tmp_path}/moe/latest could not be renewed (")
    assert (tmp_path / "moe" / "latest" / "mine").is_dir()
    assert sorted(os.listdir(tmp_path / "moe")) == ["latest", "runs"]  # noqa: PTH208


def test_a_link_of_a_stranger_is_replaced_and_not_followed(tmp_path: Path) -> None:
    run, elsewhere = make_run(tmp_path / "moe"), tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (tmp_path / "moe" / "latest").symlink_to(elsewhere)
    assert renew_latest(run) == ""
    assert read_latest(tmp_path / "moe") == run
    assert elsewhere.read_text() == "mine"


TARGETS = {
    "nothing": "",
    "absolute": "/",
    "above": "runs/..",
    "another folder": "../other/runs/2026-11-26_04-51-06_quick",
    "through the run": "runs/2026-11-26_04-51-06_quick/../../../other",
    "a missing run": "runs/2027",
    "a link among the runs": "runs/foreign",
    "no run": "trials/dense",
    "a null": "runs/\0",
    "long": "runs/" + "x" * 5000,
    "lines": "runs/2026-11-26_04-51-06_quick\nruns/x",
}


@pytest.mark.parametrize("as_link", [True, False])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_it_names_only_a_run_of_its_experiment(tmp_path: Path, target: str, as_link: bool) -> None:
    make_run(tmp_path / "other")
    run = make_run(tmp_path / "moe")
    (tmp_path / "moe" / "trials" / "dense").mkdir(parents=True)
    (run.parent / "foreign").symlink_to(tmp_path / "other" / "runs" / run.name)
    latest = tmp_path / "moe" / "latest"
    if as_link:
        try:
            latest.symlink_to(target)
        except (OSError, ValueError):
            pytest.skip("no system has such a link")
    else:
        latest.write_text(target)
    assert read_latest(tmp_path / "moe") is None
    assert find_newest_run(tmp_path) is None


@pytest.mark.parametrize("harm", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path)])
def test_no_reader_waits_or_fails(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    make_run(tmp_path / "moe")
    harm(tmp_path / "moe" / "latest")
    assert read_latest(tmp_path / "moe") is None


def test_the_newest_run_is_that_with_the_latest_time(tmp_path: Path) -> None:
    times = {"ffn": "2026-11-26_04-51-06_quick", "moe": "2026-11-27_04-51-06-718956-5124", "a": "z"}
    for experiment, name in times.items():
        renew_latest(make_run(tmp_path / experiment, name))
    (tmp_path / "other").mkdir()
    renew_latest(make_run(tmp_path / "other" / "elsewhere", "2028-11-26_04-51-06_quick"))
    (tmp_path / "linked").symlink_to(tmp_path / "other" / "elsewhere")
    newest = find_newest_run(tmp_path)
    assert newest is not None
    assert newest.parent.parent.name == "moe"
    assert find_newest_run(tmp_path / "absent") is None


def test_a_run_has_a_readable_name(replan: Again) -> None:  # noqa: F811
    plan = replan()
    before = datetime.datetime.now().replace(microsecond=0)
    name = run_folder.create_run_folder(plan).name
    time, scale = name[: run_folder.TIME_LENGTH], name[run_folder.TIME_LENGTH :]
    assert scale == "_smoke"
    assert datetime.datetime.strptime(time, run_folder.TIME) >= before


def test_runs_of_one_second_have_names_in_their_order(replan: Again) -> None:  # noqa: F811
    """The later ones take the next seconds, although `quick` sorts before `smoke`."""
    smoke = replan()
    quick = replace(smoke, study=replace(smoke.study, scale=Scale.quick))
    runs = [run_folder.create_run_folder(plan).name for plan in (smoke, quick, smoke, quick)]
    assert sorted(set(runs)) == runs


def test_commands_that_begin_at_one_moment_have_folders_of_their_own(tmp_path: Path) -> None:
    plan: Any = SimpleNamespace(
        outputs=tmp_path, experiment="moe", study=SimpleNamespace(scale=Scale.quick)
    )
    with ThreadPoolExecutor(5) as pool:
        created = [pool.submit(run_folder.create_run_folder, plan) for _ in range(15)]
    names = [each.result().name for each in created]
    assert len(set(names)) == len(names) == 15
    assert set(os.listdir(tmp_path / "moe" / "runs")) == set(names)  # noqa: PTH208
