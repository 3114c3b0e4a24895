"""The result of `runner.compare`, its errors and its interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import runner
from runner.study.main_module import is_trial_process
from tests.support.compared import CALL, CLASS, SMALL, write
from tests.support.environment import child_environment


class FailsInTrials(nn.Module):
    """A module that the plan can build, and no trial."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        if is_trial_process():
            raise RuntimeError("no luck")
        self.up = nn.Linear(d_model, d_model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.up(x))


ANSWER = {
    "sentence": "a <b> is better than c.",
    "headlines": [{"arm": "a", "metric": "val/loss", "standing": "better", "difference": -0.5}],
}


@pytest.fixture
def study(tmp_path: Path) -> runner.Comparison:
    """Return the result of a run folder that is written by hand."""
    (tmp_path / "answer.json").write_text(json.dumps(ANSWER))
    (tmp_path / "verdicts.json").write_text('[{"id": "mine", "verdict": "reproduced"}]')
    (tmp_path / "comparison.csv").write_text("arm,metric,difference\na,val/loss,-0.5\n")
    (tmp_path / "figures").mkdir()
    for name in ("a_loss", "differences", "x<y"):
        (tmp_path / "figures" / f"{name}.png").write_bytes(b"png")
    return runner.Comparison(tmp_path)


def test_a_result_reads_its_run_folder(study: runner.Comparison, tmp_path: Path) -> None:
    assert study.answer == "a <b> is better than c."
    assert [each["verdict"] for each in study.verdicts] == ["better", "reproduced"]
    assert study.verdicts[0]["arm"] == "a"
    assert study.table.difference.tolist() == [-0.5]
    assert (study.report, study.folder) == (tmp_path / "report.html", tmp_path)
    assert [path.stem for path in study.figures] == ["differences", "a_loss", "x<y"]
    assert repr(study) == f"Comparison({str(tmp_path)!r}): a <b> is better than c."


def test_a_notebook_shows_the_answer_and_figures_without_loading_anything(
    study: runner.Comparison,
) -> None:
    html = study._repr_html_()
    assert "a &lt;b&gt; is better than c." in html
    assert html.count("<img ") == 3
    assert 'alt="x&lt;y"' in html
    assert "src=" in html
    assert html.count("src=") == html.count('src="data:image/png;base64,')


@pytest.mark.slow
def test_a_failed_trial_raises_an_error_with_the_other_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arms = {"relu": "ffn=relu", "broken": FailsInTrials}
    with pytest.raises(runner.StudyError) as caught:
        runner.compare(
            arms,
            group="ffn",
            task="waves",
            n_seeds=1,
            scale="smoke",
            overrides=SMALL,
        )
    assert "1 of 2 trials failed, the first: broken seed 0" in str(caught.value)
    partial = caught.value.study
    assert partial.folder == caught.value.folder
    assert partial.report.is_file()
    assert "A smoke run" in partial.answer


@pytest.mark.slow
def test_ctrl_c_is_a_keyboard_interrupt_after_the_trials_are_stopped(tmp_path: Path) -> None:
    call = CALL.replace("training.steps=6", "training.steps=100000")
    # A shell may have started these tests in the background, and then SIGINT is ignored.
    script = f"""
import runner, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
{CLASS}
try:
    {call}
except KeyboardInterrupt as error:
    import multiprocessing
    print("INTERRUPTED", multiprocessing.active_children())
"""
    process = subprocess.Popen(
        [sys.executable, "-u", str(write(tmp_path / "go.py", script))],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=child_environment(),
    )
    statuses = tmp_path / "outputs" / "ffn" / "trials"
    deadline = time.monotonic() + 120
    try:
        while not list(statuses.glob("*/seed-*/status.json")) and time.monotonic() < deadline:
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert "INTERRUPTED []" in output
    assert process.returncode == 0
    states = [json.loads(p.read_text())["state"] for p in statuses.glob("*/seed-*/status.json")]
    assert states
    assert set(states) <= {"killed", "pending"}
