"""The example package of a user, installed as any package: its options are treated as ours.

`tests/example_lab` has a part, a task, a question with its page, and a folder `conf`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.report.latest_run import read_latest
from tests.support.environment import ROOT, child_environment

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("example_lab")]

Command = Callable[..., subprocess.CompletedProcess[str]]
SMOKE = ("experiment=example_flatness", "scale=smoke")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which pip has installed the package, from a copy of its source."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    shutil.copytree(ROOT / "tests" / "example_lab", source)
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    words += ["--no-build-isolation", "--disable-pip-version-check"]
    words += ["--target", str(folder / "site")]
    done = subprocess.run(
        [*words, str(source)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def site(installed: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder, which a test may change."""
    shutil.copytree(installed, tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return the empty folder in which commands are typed."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def environment(site: Path) -> dict[str, str]:
    ours = child_environment()
    return {**ours, "PYTHONPATH": os.pathsep.join([ours["PYTHONPATH"], str(site)])}


@pytest.fixture
def ablab(site: Path, work: Path) -> Command:
    """Return a function that types a command where the package is installed."""

    def launch(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "runner", *words],
            cwd=work,
            env=environment(site),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return launch


def read_study(work: Path, name: str) -> dict[str, Any]:
    run = read_latest(work / "outputs" / name)
    assert run is not None
    study: dict[str, Any] = json.loads((run / "study.json").read_text())
    return study


def reused(done: subprocess.CompletedProcess[str]) -> tuple[int, int]:
    """Return the numbers of reused trials and of those to compute, from the output of a study."""
    if "all reused" in done.stdout:
        return int(re.findall(r"= (\d+) trial", done.stdout)[0]), 0
    found = re.search(r"(\d+) reused, (\d+) to compute", done.stdout)
    assert found, done.stdout + done.stderr
    return int(found[1]), int(found[2])


def test_its_options_are_listed_as_ours(ablab: Command, work: Path):
    listed = ablab()
    assert listed.returncode == 0, listed.stderr
    assert "\nexample_flatness\n  At equal parameters, which feed-forward network" in listed.stdout
    assert "\n  smoke  2 seeds of relu, quick\n" in listed.stdout
    assert "\nexample_gate\n" in listed.stdout
    assert "Installed plug-ins: example_lab (package example-lab 0.3.0)" in listed.stdout
    helped = ablab("--help").stdout
    assert "example_quick_gelu, example_wide" in helped
    assert "example_cycles" in helped
    assert [*work.iterdir()] == []


def test_its_question_is_planned_and_matched(ablab: Command, work: Path):
    done = ablab("experiment=example_flatness", "plan=only")
    assert done.returncode == 0, done.stderr
    assert "plan of example_flatness at scale=quick, 6 seeds" in done.stdout
    assert "matched: ffn.d_ff=31 (as relu in params): quick" in done.stdout
    rows = dict(re.findall(r"^  (\w+) +([\d.]+k?) ", done.stdout, re.MULTILINE))
    relu, quick = (float(rows[arm].rstrip("k")) for arm in ("relu", "quick"))
    assert abs(quick / relu - 1) < 0.02
    assert [*work.iterdir()] == []


def test_its_study_is_judged_drawn_reported_and_redrawn(ablab: Command, work: Path):
    done = ablab("experiment=example_flatness", "training.steps=10", "training.eval_every=5")
    assert done.returncode == 0, done.stderr
    assert "E1.wide_is_flatter" in done.stdout
    study = read_study(work, "example_flatness")
    (record,) = study["plugins"]
    assert list(map(record.get, ("module", "package", "version"))) == [
        "example_lab",
        "example-lab",
        "0.3.0",
    ]
    assert re.fullmatch("[0-9a-f]{16}", record["code"])
    run = read_latest(work / "outputs" / "example_flatness")
    assert run is not None
    pictures = {path.stem for path in run.rglob("*.png")}
    assert {"loss", "rise"} <= pictures
    page = (run / "report.html").read_text()
    assert "At equal parameters, which feed-forward network loses least" in page
    assert f"example_lab example-lab 0.3.0 (code {record['code']})" in page
    verdicts = json.loads((run / "verdicts.json").read_text())
    assert "E1.wide_is_flatter" in json.dumps(verdicts)
    (run / "report.html").unlink()
    redrawn = ablab("redraw", "example_flatness")
    assert redrawn.returncode == 0, redrawn.stderr
    assert (run / "report.html").is_file()


def test_its_question_on_our_page_is_swept_under_its_own_name(ablab: Command, work: Path):
    done = ablab("-m", "experiment=example_gate", "scale=smoke", "n_seeds=1", "arm=quick,relu")
    assert done.returncode == 0, done.stderr
    assert "\nexample_gate: 2 trials: outputs/example_gate/runs/" in done.stdout
    folders = {path.name for path in (work / "outputs").iterdir() if path.is_dir()}
    assert folders - {"sweeps"} == {"example_gate"}
    arms = {path.name for path in (work / "outputs" / "example_gate" / "trials").iterdir()}
    assert {"relu", "quick"} <= arms
    assert read_study(work, "example_gate")["experiment"] == "example_gate"


def test_only_the_trials_of_its_arms_are_stale_after_a_change(ablab: Command, site: Path):
    words = ("experiment=ffn", "scale=smoke", "n_seeds=1", "task=waves", "arm=[relu,mine]")
    words += ("+arms.mine=['ffn=example_quick_gelu']",)
    assert reused(ablab(*words)) == (0, 2)
    assert reused(ablab(*words)) == (2, 0)
    part = site / "example_lab" / "quick_gelu.py"
    part.write_text(part.read_text().replace("1.702 * x", "1.703 * x"))
    done = ablab(*words)
    assert reused(done) == (1, 1)
    assert "1 finished trial" in done.stdout + done.stderr
    # Its page and its task compute every arm of its own question.
    assert reused(ablab(*SMOKE)) == (0, 4)
    page = site / "example_lab" / "flatness.py"
    page.write_text(page.read_text().replace("noisy - trained}", "noisy - trained + 0.0}"))
    assert reused(ablab(*SMOKE)) == (0, 4)
    # A comment or a docstring computes nothing.
    page.write_text(page.read_text() + "# the end\n")
    assert reused(ablab(*SMOKE)) == (4, 0)


def values(work: Path) -> dict[str, list[Any]]:
    """Return the measured values of each trial, without times."""
    results = sorted((work / "outputs" / "example_flatness" / "trials").rglob("result.json"))
    return {
        "/".join(path.parts[-3:-1]): [
            row for row in json.loads(path.read_text())["results"] if "time/" not in row["metric"]
        ]
        for path in results
    }


def kill_during_training(site: Path, work: Path, *words: str) -> None:
    """Start a study, and kill the command and its trials once a trial has a checkpoint."""
    with subprocess.Popen(
        [sys.executable, "-m", "runner", *words],
        cwd=work,
        env=environment(site),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 120
        while not [*work.rglob("checkpoint/step-*")]:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)


def test_a_killed_study_is_resumed_to_the_same_values(ablab: Command, site: Path, work: Path):
    words = (*SMOKE, "training.steps=2000", "training.eval_every=1000", "workers=1")
    words += ("training.checkpoint_every=100", "n_seeds=1", "arm=quick")
    kill_during_training(site, work, *words)
    assert not [*work.rglob("result.json")]
    done = ablab(*words)
    assert done.returncode == 0, done.stderr
    (result,) = work.rglob("result.json")
    assert json.loads(result.read_text())["from_step"] > 0
    resumed = values(work)
    shutil.rmtree(work / "outputs")
    assert ablab(*words).returncode == 0
    assert values(work) == resumed


def test_a_trial_imports_only_the_installed_plug_ins_of_its_arm(
    ablab: Command, site: Path, work: Path
):
    with (site / "example_lab" / "__init__.py").open("a") as file:
        file.write("import os\nwith open(os.environ['SEEN'], 'a') as file:\n")
        file.write("    file.write(f'{os.getpid()} ')\n")
    seen = work / "seen.txt"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEN", str(seen))
        done = ablab("experiment=ffn", "scale=smoke", "task=waves", "arm=relu", "n_seeds=1")
        assert done.returncode == 0, done.stderr
        assert len(set(seen.read_text().split())) == 1  # the command, and no trial
        assert read_study(work, "ffn")["plugins"] == []
        seen.unlink()
        assert ablab(*SMOKE, "n_seeds=1").returncode == 0
        # The command, two trials, and perhaps the helper that builds modules for the plan.
        assert len(set(seen.read_text().split())) in (3, 4)


def test_a_launcher_computes_its_questions(ablab: Command):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    done = ablab(
        *("-m", "experiment=example_gate", "scale=smoke", "arm=wide", "n_seeds=1", "seed=0,1"),
        *("+arms.wide=['ffn=example_wide']", "hydra/launcher=joblib"),
    )
    assert done.returncode == 0, done.stderr
    assert "\nexample_gate: 2 trials: outputs/example_gate/runs/" in done.stdout


@pytest.fixture(autouse=True)
def _no_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed file of the same size and second must not run as its old bytecode."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
