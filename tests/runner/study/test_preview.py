"""`plan=only`: it prints the planned work correctly and writes no file."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.tasks.base import TaskData
from runner import registry
from runner.config import ConfigError, Evaluation
from runner.plan.data import PreparedData, check_outputs_writable
from runner.study import forecast, preview
from runner.study import run as study
from runner.study.entries import list_trials
from tests.support.tiny import TINY


def test_memory_that_the_user_allows_is_not_called_free(run, capsys):
    run(*TINY, "plan=only", "device.memory_gib=3")
    assert "; device.memory_gib allows 3 GiB" in capsys.readouterr().out


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
    assert "to compute: 4 trials; time unknown: no similar trial was computed here" in said
    assert "the preset says: about 4 min" in said
    for word in ("memory: at least", "GiB are free", "disk: about", "nothing was computed"):
        assert word in said


def test_trials_that_are_there_are_counted_and_tell_the_time(plan, run, capsys, tmp_path: Path):
    one = (*TINY, "arm=dense", "n_seeds=1")
    study.run_trials(plan(*one))
    before = everything(tmp_path)
    capsys.readouterr()
    run(*one, "plan=only")
    assert "all trials exist: only the report is written" in capsys.readouterr().out
    run(*one, "plan=only", "training.steps=4", "tune=lr", "tune.grid=[0.001,0.01,0.1]")
    said = capsys.readouterr().out
    assert "estimated from earlier trials" in said
    assert "tuning training.lr over 3 values" in said
    assert "then, with the chosen values" in said
    assert everything(tmp_path) == before
    (trial,) = forecast.load_past_trials(tmp_path / "outputs", "moe")
    assert trial.seconds > 0
    assert trial.n_bytes > 1000
    assert trial.training_flops > 0


def test_a_users_text_has_the_same_identity_as_in_a_run(plan, tmp_path: Path):
    text = tmp_path / "notes.txt"
    text.write_text("".join(f"line {i} of a text about {i * i}\n" for i in range(4000)))
    of_text = ("experiment=moe", "task=text", f"task.path={text}", "task.n_eval=8", "arm=dense")
    signature = plan(*of_text, "plan=only").arms[0].signature
    assert everything(tmp_path) == {text}
    assert plan(*of_text).arms[0].signature == signature


def test_a_corpus_is_built_once_for_all_points_of_a_sweep(monkeypatch, tmp_path: Path):
    built: list[object] = []

    def prepare(task: object, *_: object, **__: object) -> TaskData:
        built.append(task)
        return TaskData("0123", text_path="mine.txt" if task == "text" else "", content_hash="1")

    monkeypatch.setattr(registry, "prepare", prepare)

    def identify_task(task: str, *, keep: bool) -> str:
        arm = SimpleNamespace(parts=SimpleNamespace(task=task))
        return PreparedData(tmp_path, Evaluation.report, {}, keep=keep).prepare(arm)  # type: ignore[arg-type]

    assert [identify_task("domains", keep=False) for _ in range(3)] == ["0123"] * 3
    assert built == ["domains"]
    identify_task("text", keep=False)
    identify_task("text", keep=False)  # the text may have changed
    identify_task("domains", keep=True)  # trials will read it
    assert built == ["domains", "text", "text", "domains"]


def test_a_folder_that_takes_no_files_is_refused_and_nothing_is_tried(tmp_path: Path):
    assert check_outputs_writable(tmp_path / "outputs", "moe", probe=False) == tmp_path / "outputs"
    assert everything(tmp_path) == set()
    (tmp_path / "file").touch()
    for folder in ("/proc/x", str(tmp_path / "file")):
        with pytest.raises(ConfigError, match="nothing can be written there"):
            check_outputs_writable(Path(folder), "moe", probe=False)


@pytest.mark.parametrize("wrong", ["abc", "1e999", 10**400, True, None, [], -1.0])
def test_a_damaged_record_counts_as_unknown(tmp_path: Path, wrong: object):
    trial = tmp_path / "moe" / "trials" / "dense-0123456789ab" / "seed-0"
    trial.mkdir(parents=True)
    config = {"training": {"steps": wrong, "batch_size": 4}, "task": wrong}
    (trial.parent / "arm.json").write_text(json.dumps({"config": config}))
    cost = {"metric": "cost/flops_per_token", "value": wrong}
    (trial / "result.json").write_text(json.dumps({"seconds": 2, "results": [cost]}))
    (past_trial,) = forecast.load_past_trials(tmp_path, "moe")
    assert (past_trial.seconds, past_trial.training_flops) == (2.0, 0.0)
    assert forecast.count_training_flops({"training": {"steps": wrong, "batch_size": 4}}, 1.0) in (
        0.0,
        4.0,
    )
    assert (
        forecast.count_training_flops({"training": {"steps": 10**300, "batch_size": 10**300}}, 1.0)
        == 0.0
    )


@pytest.mark.slow
def test_a_sweep_is_told_point_by_point(runner, tmp_path: Path):
    done = runner("-m", "experiment=moe", "scale=smoke", "task=waves", "plan=only", "n_seeds=1,2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("plan=only: nothing was computed or written") == 2
    assert "2 points planned, 0 failed:" in done.stdout
    assert everything(tmp_path) == set()


def test_the_words_fit_what_is_told(plan, run, capsys):
    few = (*TINY, "arm=dense", "n_seeds=1", "plan=only")
    run(*few)
    said = capsys.readouterr().out
    assert "scale=smoke, 1 seed\n" in said
    assert "to compute: 1 trial;" in said
    assert "MiB for a trial, plus about 0.3 GiB" in said
    study_plan = plan(*few, "tune=lr")
    entries = list_trials(study_plan)
    own = replace(study_plan, command="python -m runner --config-dir=mine experiment=my_gate")
    lines = preview.format_preview(own, entries, (study_plan, entries)).splitlines()
    assert lines[0] == "plan of my_gate at scale=smoke, 1 seed"
    counts = [line.split()[-3:-1] for line in lines if line.startswith("  dense")]
    assert counts == [["1", "0"], ["1", "-"]]


@pytest.mark.parametrize("experiment", sorted(registry.experiment_names()))
def test_the_table_of_every_experiment_fits_80_columns(plan, experiment: str):
    study_plan = plan(f"experiment={experiment}", "scale=full", "plan=only")
    arms = [replace(arm, name=f"{arm.name}_{'x' * 60}"[:80]) for arm in study_plan.arms]
    for each in (study_plan, replace(study_plan, arms=tuple(arms))):
        lines = preview.format_arm_table(each, [], [])
        assert max(map(len, lines)) <= 80
        for arm in each.arms:
            assert any(line.split() and line.split()[0] == arm.name for line in lines)
            if text := preview.format_matched_width(arm, each.arms):
                assert text in " ".join(" ".join(lines).split())
