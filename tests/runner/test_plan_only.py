"""`plan=only`: what would be computed, told truly, and nothing written anywhere."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests_tiny import TINY

from runner.plan import past


def everything(*folders: Path) -> set[Path]:
    return {path for folder in folders for path in folder.rglob("*")}


def test_nothing_is_written_and_everything_is_told(run: Callable[..., None], capsys, tmp_path):
    temporary = Path(tempfile.gettempdir())
    before = everything(tmp_path, temporary)
    run("experiment=moe", "task=waves", "plan=only", "n_seeds=2", "arm=[dense,moe_top2]")
    assert everything(tmp_path, temporary) == before
    said = capsys.readouterr().out
    assert "plan of moe at scale=quick, 2 seeds" in said
    assert "ffn.d_ff=126 (as dense in active_params)" in said
    assert "to compute: 4 trials; time unknown here" in said
    assert "the preset says: at most 4 min" in said
    for word in ("memory: at least", "GiB are free", "disk: about", "nothing was computed"):
        assert word in said


def test_trials_that_are_there_are_counted_and_tell_the_time(run, capsys, tmp_path: Path):
    run(*TINY)
    before = everything(tmp_path)
    capsys.readouterr()
    run(*TINY, "plan=only")
    assert "all trials are there" in capsys.readouterr().out
    run(*TINY, "plan=only", "n_seeds=3", "training.steps=4")
    assert "going by earlier trials" in capsys.readouterr().out
    run(*TINY, "plan=only", "tune=lr", "tune.n_seeds=2")
    said = capsys.readouterr().out
    assert "tuning training.lr over 4 values" in said
    assert "then, with the values that were chosen" in said
    assert everything(tmp_path) == before
    trials = past.trials(tmp_path / "outputs", "moe")
    assert all(trial.seconds > 0 and trial.size > 1000 and trial.work > 0 for trial in trials)


def test_a_users_text_has_the_same_identity_as_in_a_run(plan, tmp_path: Path):
    text = tmp_path / "notes.txt"
    text.write_text("".join(f"line {i} of a text about {i * i}\n" for i in range(4000)))
    of_text = ("experiment=moe", "task=text", f"task.path={text}", "task.n_eval=8", "arm=dense")
    told = plan(*of_text, "plan=only").arms[0].signature
    assert everything(tmp_path) == {text}
    assert plan(*of_text).arms[0].signature == told


@pytest.mark.slow
def test_a_sweep_is_told_point_by_point(runner, tmp_path: Path):
    done = runner("-m", "experiment=moe", "scale=smoke", "task=waves", "plan=only", "n_seeds=1,2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("plan=only: nothing was computed or written") == 2
    assert "2 studies done" in done.stdout
    assert everything(tmp_path) == set()
