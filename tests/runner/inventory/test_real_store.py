"""A real study after a prune: it is reused, redrawn and grown, and nothing is computed again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from runner.commands.redraw import redraw
from runner.commands.store import manage_store
from runner.plan.plan import Plan
from runner.study.entries import prepare_trials
from tests.support.environment import child_environment
from tests.support.finished_study import (  # noqa: F401 (fixtures)
    finished_outputs,
    finished_plan,
    finished_study_folder,
    replan,
)
from tests.support.made_store import trials_below
from tests.support.tiny import TINY


def test_a_pruned_study_is_reused_and_redrawn(
    finished_outputs: Path,  # noqa: F811
    replan: Callable[..., Plan],  # noqa: F811
):
    plan = replan()
    n_trials = len(trials_below(finished_outputs))
    (run,) = (finished_outputs / "moe" / "runs").iterdir()
    values = (run / "comparison.csv").read_bytes()
    assert list(finished_outputs.rglob("weights.safetensors"))
    words = ["unreferenced=true", "keep_weights=none", "yes=true"]
    manage_store(["prune", f"outputs={finished_outputs}", *words])
    assert list(finished_outputs.rglob("weights.safetensors")) == []
    assert len(trials_below(finished_outputs)) == n_trials
    assert all(entry.reused for entry in prepare_trials(plan))
    assert plan.notes == []
    (run / "comparison.csv").unlink()
    redraw([str(run)])
    assert (run / "comparison.csv").read_bytes() == values


Command = Callable[..., CompletedProcess[str]]


@pytest.mark.slow
def test_after_a_prune_the_same_command_computes_nothing(runner: Command, tmp_path: Path):
    assert runner(*TINY, "arm=[dense,moe_top2]", "n_seeds=1").returncode == 0
    for words in (["keep_weights=best"], ["unreferenced=true", "keep_weights=none"]):
        done = runner("store", "prune", *words, "yes=true")
        assert (done.returncode, done.stderr) == (0, "")
    done = runner(*TINY, "arm=[dense,moe_top2]", "n_seeds=1")
    assert "2 trials, 2 reused" in done.stdout or "all reused" in done.stdout
    done = runner(*TINY, "arm=[dense,moe_top2]", "n_seeds=2")  # grown, which needs no weights
    assert done.returncode == 0
    assert len(trials_below(tmp_path / "outputs")) == 4
    assert runner("redraw").returncode == 0
    page = (tmp_path / "outputs" / "index.html").read_text()
    assert "3 runs" in page


@pytest.mark.slow
def test_a_running_study_keeps_all_its_trials(runner: Command, tmp_path: Path):
    """Its finished trials have no run yet."""
    words = [*TINY, "arm=[dense,moe_top2]", "n_seeds=1", "workers=1", "training.steps=20000"]
    study = subprocess.Popen(
        [sys.executable, "-m", "runner", *words],
        cwd=tmp_path,
        env=child_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 120
        while not list((tmp_path / "outputs").glob("moe/trials/dense/seed-0/checkpoint/step-*")):
            assert study.poll() is None
            assert time.monotonic() < until
            time.sleep(0.2)
        done = runner("store")
        assert "moe: running now: dense seed 0\n" in done.stdout
        prune = ["store", "prune", "unreferenced=true", "keep_weights=none", "yes=true"]
        done = runner(*prune)
        assert "moe: dense seed 0 is running: it stays\n" in done.stdout
        assert trials_below(tmp_path / "outputs") == {("dense", 0)}
        assert study.poll() is None
    finally:
        os.kill(study.pid, signal.SIGINT)
        study.wait(timeout=120)
    assert study.returncode == 130
    done = runner("store", "prune", "unreferenced=true", "yes=true")
    assert "moe: deleted: 1 trial that no run refers to (" in done.stdout
    assert trials_below(tmp_path / "outputs") == set()
