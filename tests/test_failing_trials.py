"""A study in which trials fail in every way: all are labelled, all others finish.

The trials compute nothing (`chaos`), so that a hundred of them take a minute.
"""

import os
import subprocess
import sys
from collections import Counter
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from runner.records.store import Slot, read_json
from tests.support.chaos import FAULTS
from tests.support.environment import child_environment

TINY = ("experiment=moe", "scale=smoke", "task=waves", "task.n_eval=9", "task.n_samples=30")
TINY += ("model.d_model=16", "model.n_layers=1", "plugins=[chaos_plugin]", "~figures", "~claims")


def command(*overrides: str) -> list[str]:
    return [sys.executable, "-m", "runner", *TINY, *overrides]


def done(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*overrides),
        cwd=folder,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def slots(folder: Path) -> dict[tuple[str, int], Slot]:
    return {
        (path.parent.name, int(path.name.removeprefix("seed-"))): Slot(path)
        for path in (folder / "outputs" / "moe" / "trials").glob("*/seed-*")
    }


def computed(folder: Path) -> Counter[str]:
    return Counter((folder / "outputs" / "computed").read_text().splitlines())


def mislabelled(folder: Path) -> dict[str, object]:
    """Return the faults whose label does not name the cause."""
    slot_of = slots(folder)
    wrong: dict[str, object] = {}
    for seed, (name, (_, state, message)) in enumerate(FAULTS.items()):
        status = slot_of["dense", seed].status()
        text = str(status.get("message", ""))
        if status["state"] != state or message not in text or len(text) > 300:
            wrong[name] = status
    return wrong


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_of_a_hundred_trials_those_that_fail_are_labelled_and_all_others_finish(tmp_path: Path):
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "faults").touch()
    arms = ("arm=[dense,moe_top2]", "n_seeds=50")
    first = done(tmp_path, *arms, "timeout_s=5")
    assert first.returncode == 1, first.stderr
    assert f"{len(FAULTS)} of 100 trials failed, the first: dense seed 0" in first.stderr
    assert len(first.stderr.splitlines()) <= 3, first.stderr
    assert "Traceback" not in first.stdout + first.stderr
    assert mislabelled(tmp_path) == {}
    good = {key for key, slot in slots(tmp_path).items() if slot.result()}
    assert len(good) == 100 - len(FAULTS)
    assert not lives(int((tmp_path / "outputs" / "orphan").read_text()))
    (run,) = (tmp_path / "outputs" / "moe" / "runs").iterdir()
    assert (run / "report.html").exists()

    before = computed(tmp_path)
    assert set(before.values()) == {1}
    (tmp_path / "outputs" / "faults").unlink()
    mended = done(tmp_path, *arms)
    assert mended.returncode == 0, mended.stderr
    assert computed(tmp_path) - before == {f"dense {seed}": 1 for seed in range(len(FAULTS))}
    assert f"100 trials: {100 - len(FAULTS)} reused" in mended.stdout


def together(folder: Path, *commands: tuple[str, ...]) -> list[str]:
    """Return the values of each run of commands that start together; check exit code and output."""
    started = [
        subprocess.Popen(
            command(*overrides, "workers=1"),
            cwd=folder,
            env=child_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for overrides in commands
    ]
    try:
        ended = [(process.communicate(timeout=500), process.returncode) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert [(errors, code) for (_, errors), code in ended] == [("", 0)] * len(commands)
    runs = sorted((folder / "outputs" / "moe" / "runs").iterdir())
    assert len(runs) == len(commands)
    return [(run / "results.csv").read_text() for run in runs]


@pytest.mark.slow
def test_eight_processes_with_one_command_compute_each_trial_once(tmp_path: Path):
    values = together(tmp_path, *[("arm=[dense,moe_top2]", "n_seeds=4")] * 8)
    assert len(set(values)) == 1
    assert len(values[0].splitlines()) > 8
    assert set(computed(tmp_path).values()) == {1}
    assert len(computed(tmp_path)) == 8


@pytest.mark.slow
def test_four_commands_that_share_arms_compute_each_trial_once(tmp_path: Path):
    values = together(
        tmp_path,
        ("arm=[dense,moe_top2]", "n_seeds=4"),
        ("arm=[moe_top2,dense]", "n_seeds=6"),
        ("arm=dense", "n_seeds=5"),
        ("arm=[other,moe_top2]", '+arms.other=["ffn=dense"]', "n_seeds=4"),
    )
    # `other` is `dense` under another name: the first trial named the folder.
    assert sum(computed(tmp_path).values()) == 12
    tables = [pd.read_csv(StringIO(text)).query("metric == 'val/loss'") for text in values]
    assert sorted(map(len, tables)) == [5, 8, 8, 12]
    assert pd.concat(tables).groupby("seed").value.nunique().max() == 1


def test_a_record_that_a_trial_tears_itself_names_the_file(tmp_path: Path):
    slot = Slot(tmp_path)
    slot.write_status("running", pid=1, code="x")
    (tmp_path / "status.json").write_bytes(b"{")
    assert read_json(tmp_path / "status.json") is None
    assert slot.read_records().damage == "status.json cannot be read"
