"""A killed trial resumes from its checkpoint and ends with the same bits, in every experiment."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from runner import invocation, registry
from tests.support.composition import compose_config
from tests.support.environment import child_environment
from tests.support.outcomes import events, results, states, weights

PATIENCE = 120.0


def command(experiment: str) -> list[str]:
    return [sys.executable, "-m", "runner", *small(experiment)]


def small(experiment: str) -> list[str]:
    """Return a command for an experiment's trials only, without claims and figures."""
    # A checkpoint at every step does not change the results.
    few = ["scale=smoke", "n_seeds=1", "workers=1", "training.checkpoint_every=1"]
    return [f"experiment={experiment}", *few, "~figures", "~claims"]


def finish(experiment: str, folder: Path) -> None:
    """Compute a study to its end as the command does, with the server that already runs."""
    invocation.run_and_report(*compose_config(folder, small(experiment)))


def kill_with_a_checkpoint(experiment: str, folder: Path) -> Path:
    """Start a study and kill all of it while a trial is running and has a checkpoint."""
    process = subprocess.Popen(
        command(experiment),
        cwd=folder,
        env=child_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < until and process.poll() is None:
            for status in folder.glob("outputs/*/trials/*/seed-*/status.json"):
                checkpoint = status.parent / "checkpoint"
                has_checkpoint = (
                    any(checkpoint.glob("step-*")) or (checkpoint / "pieces.json").exists()
                )
                if has_checkpoint and running(status):
                    # The trial has a process group of its own, which outlives the others.
                    for pid in (process.pid, json.loads(status.read_text())["pid"]):
                        os.killpg(pid, signal.SIGKILL)
                    assert running(status), "the trial ended before it was killed"
                    return status.parent
            time.sleep(0.002)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    raise AssertionError("no trial was seen running with a checkpoint")


def running(status: Path) -> bool:
    try:
        return json.loads(status.read_text())["state"] == "running"
    except (OSError, ValueError):
        return False


@pytest.mark.slow
@pytest.mark.parametrize("experiment", registry.experiment_names())
def test_a_killed_trial_goes_on_to_the_same_bits(hydra: None, experiment: str, tmp_path: Path):  # noqa: ARG001
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    finish(experiment, whole)
    victim = kill_with_a_checkpoint(experiment, killed)
    time.sleep(0.5)  # the worker notices that its parent has exited, or exits itself
    finish(experiment, killed)

    went_on = json.loads((victim / "result.json").read_text())
    assert went_on["from_step"] > 0
    trials = list(whole.glob("outputs/*/trials/*/seed-*"))
    assert trials
    for trial in trials:
        other = killed / trial.relative_to(whole)
        assert results(other) == results(trial)
        assert events(other) == events(trial)
        if (trial / "metrics.csv").exists():
            curves = [pd.read_csv(t / "metrics.csv") for t in (trial, other)]
            pd.testing.assert_frame_equal(*curves, check_exact=True)
            assert weights(trial) or "train/loss" not in set(curves[0].metric)
        assert weights(other) == weights(trial)
        assert states(other) == states(trial)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["parent", "worker"])
def test_sigterm_leaves_a_checkpoint_and_no_process(who: str, tmp_path: Path):
    long = [*command("moe"), "training.steps=4000", "training.checkpoint_every=4000"]
    process = subprocess.Popen(
        long,
        cwd=tmp_path,
        env=child_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < until:
            running_statuses = [
                s for s in tmp_path.glob("outputs/*/trials/*/*/status.json") if running(s)
            ]
            if running_statuses and (running_statuses[0].parent / "metrics.csv").exists():
                break
            time.sleep(0.05)
        time.sleep(2)
        status = json.loads(running_statuses[0].read_text())
        os.kill(process.pid if who == "parent" else status["pid"], signal.SIGTERM)
        while running(running_statuses[0]) and time.monotonic() < until:
            time.sleep(0.05)
        after = json.loads(running_statuses[0].read_text())
        assert after["state"] == "killed"
        assert "resumes from step" in after["message"]
        assert any((running_statuses[0].parent / "checkpoint").glob("step-*"))
        if who == "parent":
            assert process.wait(timeout=30) == 130
            assert not Path(f"/proc/{status['pid']}").exists()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
