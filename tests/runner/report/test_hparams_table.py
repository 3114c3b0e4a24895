"""TensorBoard's view of all trials: its rows, its columns, and its text on what to select."""

import dataclasses
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runner.records.store import write_json
from runner.records.tracking import Tracker
from runner.report.hparams_table import is_curve_end, list_differing
from runner.report.report_files import write_report
from runner.report.study_record import StudyRecord
from runner.report.trials_dashboard import FILE, write_trials_dashboard
from tests.support.sample_study import make_study
from tests.support.tensorboard_app import TensorBoardApp


def write_trial(
    experiment: Path, arm: str, seed: int = 0, *, value: float = 2.0, **training: float
) -> None:
    """Write a trial of an arm as its process does: arm.json, status.json, and event file."""
    config = {"training": {"steps": 3, **training}, "ffn": {"kind": "moe"}}
    folder = experiment / "trials" / arm
    write_json(folder / "arm.json", {"config": config, "data": "d"})
    write_json(folder / f"seed-{seed}" / "status.json", {"state": "done"})
    hparams = {"arm": arm, "seed": seed, "ffn.kind": "moe"}
    hparams |= {f"training.{name}": value for name, value in training.items()}
    tracker = Tracker(folder / f"seed-{seed}", hparams)
    tracker.log({"val/loss": value + 1}, 0)
    tracker.log({"val/loss": value}, 3)
    tracker.close("done", final={"val/loss": value, "moe/load_max_violation": value / 10})


def renew(experiment: Path, study: StudyRecord, run: str = "2026-11-26_04-51-06_quick") -> None:
    write_trials_dashboard(experiment / "runs" / run, study)


def with_curve_ends(**changes: Any) -> StudyRecord:
    """The sample study, where the curve of val/loss ends with the final value."""
    study = make_study(figures={}, **changes)
    ends = study.results.query("metric == 'val/loss'").assign(step=300)
    curves = study.history.query("metric != 'val/loss' or step < 300")
    return replace(study, history=pd.concat([curves, ends[list(curves.columns)]]))


def test_a_row_for_each_trial_has_the_name_of_its_run_and_values_of_curves(tmp_path: Path) -> None:
    experiment = tmp_path / "moe"
    for seed in range(2):
        write_trial(experiment, "moe_top2", seed, value=2.0 + seed, lr=1e-3)
    renew(experiment, with_curve_ends())
    app = TensorBoardApp(experiment / "trials")
    assert app.runs() == [".", "moe_top2/seed-0", "moe_top2/seed-1"]
    assert app.metrics() == {
        "val/loss": "validation loss",
        "~ HParams/moe/load_max_violation": app.metrics()["~ HParams/moe/load_max_violation"],
    }
    rows = app.rows()
    assert set(rows) == {"moe_top2/seed-0", "moe_top2/seed-1"}
    assert [rows[f"moe_top2/seed-{seed}"]["val/loss"] for seed in range(2)] == [2.0, 3.0]
    assert rows["moe_top2/seed-1"]["~ HParams/moe/load_max_violation"] == pytest.approx(0.3)
    assert app.tags()["moe_top2/seed-0"] == {"val/loss", "~ HParams/moe/load_max_violation"}


def test_columns_are_what_differs_between_all_trials_and_what_was_varied_is_first(
    tmp_path: Path,
) -> None:
    experiment, study = tmp_path / "moe", make_study(figures={})
    write_trial(experiment, "a-1", lr=1e-3)
    for name, more in (("first", {}), ("second", {"lr": 3e-3}), ("third", {"clip": 1.0})):
        write_trial(experiment, f"b-{name}", **({"lr": 1e-3} | more))
        renew(experiment, study)
    app = TensorBoardApp(experiment / "trials")
    columns = app.columns()
    assert list(columns)[:5] == ["arm", "ffn.kind", "seed", "training.clip", "training.lr"]
    assert {"ffn.balance", "ffn.kind", "seed_offset"} < set(columns)
    assert "training.steps" not in columns
    assert [path.name for path in (experiment / "trials").iterdir() if path.is_file()] == [FILE]


def test_a_text_says_how_to_select_runs(tmp_path: Path) -> None:
    write_trial(tmp_path / "moe", "dense")
    study = make_study(figures={})
    trials = study.trials.assign(folder="../../trials/den.se-3f9a01/seed-0")
    renew(tmp_path / "moe", dataclasses.replace(study, trials=trials))
    (text,) = TensorBoardApp(tmp_path / "moe" / "trials").texts().values()
    assert "This view has 2 runs" in text
    assert "If there are more than 40 runs" in text
    assert r"<code>^den\.se\-3f9a01/</code>" in text
    assert f"tensorboard --logdir {tmp_path.as_posix()}/moe/latest/tb" in text


def test_the_title_of_the_text_says_it_where_no_text_is_shown(tmp_path: Path) -> None:
    """With more than 40 runs, the tab Text shows the titles only."""
    store = tmp_path / "moe" / "trials" / "dense"
    for n_runs, start in ((40, "how to select runs"), (41, "More than 40 runs: none is selected.")):
        for seed in range(n_runs - 1):
            write_json(store / f"seed-{seed}" / "status.json", {"state": "done"})
        renew(tmp_path / "moe", make_study(figures={}))
        ((title, text),) = TensorBoardApp(tmp_path / "moe" / "trials").texts().items()
        assert title.startswith(start)
        assert f"This view has {n_runs} runs" in text


def test_without_a_varied_setting_those_of_most_arms_are_first(tmp_path: Path) -> None:
    write_trial(tmp_path / "moe", "dense")
    renew(tmp_path / "moe", make_study(figures={}))
    columns = TensorBoardApp(tmp_path / "moe" / "trials").columns()
    assert list(columns) == ["arm", "ffn.balance", "ffn.kind", "seed", "seed_offset"]


def test_a_report_writes_the_view_of_its_own_store_only(tmp_path: Path) -> None:
    study = make_study(figures={}, claims=[])
    write_trial(tmp_path / "moe", "dense")
    write_report(tmp_path / "moe" / "runs" / "now", study)
    assert (tmp_path / "moe" / "trials" / FILE).is_file()
    (tmp_path / "moe" / "trials" / FILE).unlink()
    write_report(tmp_path / "moe" / "runs" / "now", study, is_redraw=True)
    write_report(tmp_path / "moe" / "elsewhere" / "now", study)
    renew(tmp_path / "absent", study)
    assert not (tmp_path / "moe" / "trials" / FILE).exists()
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"config": 3}', '{"data": "d"}'])
def test_a_damaged_record_of_an_arm_stops_no_report(tmp_path: Path, text: str) -> None:
    study = make_study(figures={})
    write_trial(tmp_path / "moe", "a-1", lr=1e-3)
    (tmp_path / "moe" / "trials" / "a-2").mkdir()
    (tmp_path / "moe" / "trials" / "a-2" / "arm.json").write_text(text)
    renew(tmp_path / "moe", study)
    columns = set(TensorBoardApp(tmp_path / "moe" / "trials").columns())
    assert columns == {"arm", "seed", *list_differing(list(study.hparams.values()))}


def test_whatever_lies_in_place_of_the_view_stops_no_report(tmp_path: Path) -> None:
    study, store = make_study(figures={}, claims=[]), tmp_path / "moe" / "trials"
    write_trial(tmp_path / "moe", "dense")
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (store / FILE).symlink_to(outside)
    renew(tmp_path / "moe", study)
    assert outside.read_text() == "mine"
    assert not (store / FILE).is_symlink()
    (store / FILE).unlink()
    (store / FILE).mkdir()
    outcome = write_report(tmp_path / "moe" / "runs" / "now", study)
    (line,) = [line for line in outcome.warnings if "TensorBoard" in line]
    assert line == "TensorBoard's view of all trials could not be renewed (Is a directory)"
    assert not [*store.glob(f".{FILE}*")]


def test_a_value_is_read_from_its_curve_where_each_curve_ends_with_it() -> None:
    study = with_curve_ends()
    assert is_curve_end(study, "val/loss")
    assert not is_curve_end(make_study(figures={}), "val/loss")
    assert not is_curve_end(study, "moe/load_max_violation")  # it has no curve
    assert not is_curve_end(study, "no/such")
    cut = replace(study, history=study.history.iloc[:-1])  # the last seed's last value
    assert is_curve_end(cut, "val/loss")  # that trial diverged: only finished ones count
    assert not is_curve_end(replace(cut, trials=study.trials.assign(status="done")), "val/loss")


def test_no_reader_of_the_store_takes_the_view_for_an_arm(tmp_path: Path) -> None:
    from runner.records.store import Store

    write_trial(tmp_path / "moe", "dense-0123456789abcdef")
    renew(tmp_path / "moe", make_study(figures={}))
    assert os.listdir(tmp_path / "moe" / "trials")  # noqa: PTH208
    store = Store(tmp_path, "moe")
    assert [slot.folder.name for slot in store.slots_by_seed("0123456789abcdef").values()] == [
        "seed-0"
    ]
    assert store.arm_folder("dashboard.tfevents", "other") != store.root / FILE
