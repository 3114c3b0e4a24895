"""The HParams table has a column for whatever differs between the trials below the folder."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.hparams.backend_context import Context

from runner.records.store import write_json
from runner.report import hparams_table
from runner.report.hparams_table import differing_hparams, update_shared_tables, write_hparams_table
from runner.report.report_files import write_report
from tests.support.sample_study import make_study
from tests.support.tiny import TINY


def columns(folder: Path) -> set[str]:
    """The columns as TensorBoard's own backend finds them below a folder."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder))
    runs.Reload()
    provider = MultiplexerDataProvider(runs, str(folder))
    context: Any = Context(SimpleNamespace(data_provider=provider))
    request = RequestContext()
    experiment = context.experiment_from_metadata(
        request, "", True, context.hparams_metadata(request, ""), []
    )
    return {info.name for info in experiment.hparam_infos}


def keep_arm(experiment: Path, name: str, **training: float) -> None:
    config = {"config": {"training": {"steps": 3, **training}}, "data": "d"}
    write_json(experiment / "trials" / name / "arm.json", config)


@pytest.mark.slow
def test_commands_that_differ_in_a_rate_have_it_as_a_column(run: Any, tmp_path: Path) -> None:
    for rate in (1e-3, 3e-3):
        run(*TINY, "n_seeds=1", "arm=dense", "~figures", f"training.lr={rate}")
    experiment = tmp_path / "outputs" / "moe"
    folders = [*experiment.glob("runs/*/tb")]
    assert len(folders) == 2
    for folder in (experiment, *folders):
        assert columns(folder) == {"arm", "seed", "training.lr"}


def test_every_run_says_the_same_whichever_is_read(tmp_path: Path) -> None:
    experiment = tmp_path / "moe"
    keep_arm(experiment, "a-1", lr=1e-3)
    for name, more in (("first", {}), ("second", {"lr": 3e-3}), ("third", {"clip": 1.0})):
        keep_arm(experiment, f"b-{name}", **({"lr": 1e-3} | more))
        write_report(experiment / "runs" / name, make_study(figures={}))
    found = [columns(folder) for folder in sorted(experiment.glob("runs/*/tb"))]
    assert found[0] == found[1] == found[2]
    assert {"training.lr", "training.clip", "ffn.balance"} <= found[0]
    assert "training.steps" not in found[0]
    for folder in experiment.glob("runs/*/tb"):
        assert sorted(p.name for p in folder.iterdir() if p.name.startswith((".", "h"))) == [
            "hparams.tfevents"
        ]


def test_a_report_outside_of_a_store_keeps_the_columns_of_its_arms(tmp_path: Path) -> None:
    study = make_study(figures={})
    keep_arm(tmp_path, "a-1", lr=1e-3)
    keep_arm(tmp_path, "a-2", lr=3e-3)
    write_report(tmp_path / "elsewhere", study)
    assert columns(tmp_path / "elsewhere" / "tb") == {"arm", "seed", *differing_hparams(study)}
    update_shared_tables(tmp_path / "absent" / "runs" / "now", study)
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"config": 3}', '{"data": "d"}'])
def test_a_damaged_record_of_an_arm_stops_no_report(tmp_path: Path, text: str) -> None:
    study = make_study(figures={})
    keep_arm(tmp_path, "a-1", lr=1e-3)
    (tmp_path / "trials" / "a-2").mkdir()
    (tmp_path / "trials" / "a-2" / "arm.json").write_text(text)
    assert differing_hparams(study, tmp_path / "trials") == differing_hparams(study)
    write_hparams_table(tmp_path / "tb", study, ["one"])
    assert columns(tmp_path / "tb") == {"arm", "seed", "one"}


def test_tables_that_say_the_same_are_not_written_again(tmp_path: Path) -> None:
    experiment, study = tmp_path / "moe", make_study(figures={})
    keep_arm(experiment, "a-1", lr=1e-3)
    for run in ("first", "second"):
        write_hparams_table(experiment / "runs" / run / "tb", study, [])
    update_shared_tables(experiment / "runs" / "second", study)

    def written() -> list[tuple[int, int]]:
        found = [path.stat() for path in sorted(experiment.glob("runs/*/tb/*"))]
        return [(stat.st_ino, stat.st_mtime_ns) for stat in found]

    before = written()
    assert len(before) == 2
    update_shared_tables(experiment / "runs" / "second", study)
    assert written() == before
    keep_arm(experiment, "a-2", lr=3e-3)
    update_shared_tables(experiment / "runs" / "second", study)
    assert not set(written()) & set(before)
    for run in ("first", "second"):
        assert "training.lr" in columns(experiment / "runs" / run / "tb")


def test_whatever_lies_in_place_of_another_runs_table_stops_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hparams_table, "LOCK_TIMEOUT", 0.1)
    experiment, study = tmp_path / "moe", make_study(figures={})
    keep_arm(experiment, "a-1", lr=1e-3)
    for run in ("folder", "mine", "pipe", "unwritten"):
        (experiment / "runs" / run / "tb").mkdir(parents=True)
    os.mkfifo(experiment / "runs" / "pipe" / "tb" / "hparams.tfevents")
    (experiment / "runs" / "folder" / "tb" / "hparams.tfevents").mkdir()
    with FileLock(experiment / "trials" / ".lock"):  # another command, which holds it for ever
        lines = update_shared_tables(experiment / "runs" / "mine", study)
    (line,) = lines
    assert "runs/folder/tb/hparams.tfevents could not be updated (Is a directory)" in line
    for run in ("mine", "pipe", "unwritten"):
        assert (experiment / "runs" / run / "tb" / "hparams.tfevents").is_file()
    assert not [*experiment.rglob(".writing-*")]
