"""What surrounds a run (environment, current folder, terminal) does not decide its write."""

import ast
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pytest
from rich.console import Console

from runner.commands.redraw import redraw
from runner.figures.data import Records
from runner.figures.draw import draw_all
from runner.figures.kinds.curve import Curve
from runner.report import dashboard, run_folder, study_report, untrusted_run
from runner.report.console import render_console
from runner.report.report_files import write_report
from tests.support.environment import ROOT, child_environment
from tests.support.finished_study import (  # noqa: F401 (fixtures)
    copied_run_folder,
    finished_outputs,
    finished_plan,
    finished_study_folder,
    replan,
)
from tests.support.sample_study import make_study
from tests.support.tiny import TINY


def figures(*kinds: str) -> dict:
    """One figure of each of these kinds of the sample study."""
    known = make_study().figures.values()
    return {kind: next(one for one in known if one.kind == kind) for kind in kinds}


def test_a_figure_that_fails_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise MemoryError("no room for " + "dots " * 100)

    monkeypatch.setattr(Curve, "draw", fail)
    study = make_study(figures=figures("curve", "bars"), claims=[])
    outcome = write_report(tmp_path / "run", study)
    drawn = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn - {"index.json"} == {
        f"{key}.{kind}" for key in ("bars", "differences") for kind in ("png", "svg")
    }
    (line,) = [w for w in outcome.warnings if "curve" in w]
    assert line.startswith("figure curve could not be drawn: MemoryError: no room for dots")
    assert len(line) < 300
    assert "no room for dots" in outcome.report_path.read_text()


def test_a_tensorboard_that_fails_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(dashboard, "write_dashboard", fail)
    outcome = write_report(tmp_path / "run", make_study(figures={}, claims=[]))
    line = "tb/ for TensorBoard could not be written: OSError: No space left on device"
    assert line in outcome.warnings
    assert line in outcome.report_path.read_text()


def test_tables_lie_there_before_figures_are_drawn(
    replan: Callable,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    from runner.plan.report_spec import read_report_spec
    from runner.study.entries import list_trials

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    plan = replan()
    with monkeypatch.context() as patch:
        patch.setattr("runner.report.report_files.draw_all", stop)
        with pytest.raises(KeyboardInterrupt):
            study_report.report_study(plan, list_trials(plan), read_report_spec(plan.study))
    run = max((plan.outputs / "moe" / "runs").iterdir())
    tables = {"results.csv", "comparison.csv", "answer.json", "verdicts.json", "study.json"}
    assert tables | {"config.yaml", "environment.json", "records.zip"} == set(os.listdir(run))  # noqa: PTH208
    redraw([str(run)])
    assert "redrawn" not in (run / "report.html").read_text()


@pytest.mark.slow
def test_settings_for_figures_of_others_change_no_figure():
    study = make_study(figures=figures("bars"))
    shown = Records(study.results, study.history, list(study.arms), trials=study.trials)
    plain, *_ = draw_all(study.figures, shown)
    odd = {
        "text.usetex": True,
        "figure.dpi": 7,
        "font.family": ["NoSuchFont"],
        "font.size": 40,
        "axes.facecolor": "red",
        "lines.linewidth": 9,
        "svg.fonttype": "none",
        "image.cmap": "gray",
    }
    with mpl.rc_context(odd):
        pictures, _, warnings = draw_all(study.figures, shown)
        assert mpl.rcParams["figure.dpi"] == 7
    assert warnings == []
    assert pictures["bars"].svg == plain["bars"].svg
    assert pictures["bars"].png == plain["bars"].png


def test_matplotlib_is_imported_whatever_surrounds_it(tmp_path: Path):
    (tmp_path / "matplotlibrc").write_bytes(b"text.usetex: True\nnonsense\n\xff\n")
    code = (
        "import os; from runner.figures import canvas\n"
        "with canvas.style():\n    pass\n"
        "import matplotlib as mpl; "
        "print(mpl.rcParams['text.usetex'], os.environ['MPLBACKEND'], os.getcwd())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=child_environment() | {"MPLBACKEND": "nonsense", "MATPLOTLIBRC": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["False", "nonsense", str(tmp_path)], done.stderr


def test_letters_that_no_encoding_has_reach_every_file(tmp_path: Path):
    odd = "caf\udce9 \ud800"
    study = make_study(question=odd, notes=[odd], figures={}, claims=[], environment={odd: odd})
    outcome = write_report(tmp_path / "run", study)
    assert not [line for line in outcome.warnings if "TensorBoard" in line or "HParams" in line]
    assert "caf\\udce9 \\ud800" in outcome.report_path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_terminal_may_be_one_letter_wide(tmp_path: Path, width: int):
    study = make_study(figures={}, claims=[])
    outcome = write_report(tmp_path / "run", study)
    Console(file=io.StringIO(), width=width).print(render_console(study, outcome), crop=False)


TEXT_CALLS = {"read_text": 0, "write_text": 1, "open": 1, "fdopen": 2, "run": 0, "Popen": 0}


def without_encoding(path: Path) -> list[str]:
    """Calls that read or write text in whatever encoding the surroundings have."""
    found = []
    for call in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        keywords = {keyword.arg for keyword in call.keywords}
        texts = [a.value for a in call.args if isinstance(a, ast.Constant)]
        binary = any(isinstance(text, str) and "b" in text and len(text) < 4 for text in texts)
        method = isinstance(call.func, ast.Attribute)
        texty = (method and name in ("read_text", "write_text")) or "text" in keywords
        texty |= name in ("open", "fdopen") and not binary and owner(call) != "os"
        if name in TEXT_CALLS and texty and "encoding" not in keywords:
            found.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    return found


def owner(call: ast.Call) -> str:
    value = getattr(call.func, "value", None)
    return getattr(value, "id", "")


def test_all_text_is_read_and_written_in_an_encoding_of_ours():
    files = [path for top in ("runner", "experiments") for path in (ROOT / top).rglob("*.py")]
    assert [place for path in files for place in without_encoding(path)] == []


@pytest.mark.slow
def test_a_study_runs_in_the_worst_of_surroundings(tmp_path: Path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    odd = {
        "MPLBACKEND": "nonsense",
        "MPLCONFIGDIR": "/dev/null/x",
        "HOME": "/nonexistent",
        "TMPDIR": "/nonexistent",
        "LC_ALL": "POSIX",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "COLUMNS": "1",
        "PYTHONWARNINGS": "error",
    }
    words = [sys.executable, "-m", "runner", *TINY, "arm=dense", "n_seeds=1"]
    done = subprocess.run(
        words,
        env=child_environment() | odd,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "outputs" / "moe" / "runs").iterdir()
    assert list((run / "figures").glob("*.svg"))
    for path in (tmp_path / "outputs").rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert untrusted_run.read_summary(run)["experiment"] == "moe"


def test_drafts_of_killed_reports_are_removed_and_no_others(tmp_path: Path) -> None:
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    old = [runs / "a" / ".writing-x", runs / "a" / "tb" / ".writing-1"]
    kept = [runs / "b" / ".writing-y", elsewhere / ".writing-z"]
    for path in (*old, *kept):
        path.mkdir(parents=True)
    (runs / "link").symlink_to(elsewhere)
    for path in (*old, elsewhere / ".writing-z"):
        os.utime(path, (0, 0))
    run_folder.remove_drafts(runs)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)
