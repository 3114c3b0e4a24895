"""Records are what they were: what is changed in a finished trial is named and computed again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from runner.config import ConfigError
from runner.records.store import Slot
from runner.report import collection
from runner.study import run as study
from runner.study.entries import Entry, list_trials, prepare_trials
from tests.support.tiny import TINY

ONE = (*TINY, "arm=moe_top2", "baseline=moe_top2", "n_seeds=1")


def finished(folder: Path) -> Slot:
    """A finished trial with curves and a table."""
    slot = Slot(folder / "seed-0")
    slot.write_result({"code": "c", "results": [{"metric": "val/loss", "value": 0.5, "unit": ""}]})
    (slot.folder / "metrics.csv").write_text("step,metric,value\n1,val/loss,0.5\n")
    (slot.folder / "tables").mkdir()
    (slot.folder / "tables" / "heads.csv").write_text("head,share\n0,0.5\n")
    slot.write_status("done", code="c", seconds=1.5, message="")
    assert not slot.read_records().damage
    return slot


def edited(name: str, old: str, new: str) -> Callable[[Path], object]:
    """Replace a text in a file."""

    def edit(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return edit


def folder_instead(name: str) -> Callable[[Path], object]:
    """Put a folder where a file was."""

    def replace(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return replace


def reseal(result: object) -> Callable[[Path], object]:
    """Write a result of another form, with a seal that agrees."""

    def write(folder: Path) -> None:
        (folder / "result.json").write_text(json.dumps(result))
        Slot(folder).write_status("done")

    return write


ROW = {"metric": "m", "value": 1.0, "unit": ""}
DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a value": ("result.json was changed", edited("result.json", "0.5", "0.1")),
    "no JSON": ("result.json was changed", lambda f: (f / "result.json").write_text("{")),
    "no result": ("result.json is missing", lambda f: (f / "result.json").unlink()),
    "a folder": ("result.json cannot be read", folder_instead("result.json")),
    "a list": ("result.json is not a result", reseal([1])),
    "no results": ("result.json is not a result", reseal({"code": "c"})),
    "no code": ("result.json is not a result", reseal({"results": []})),
    "text": (
        "result.json is not a result",
        reseal({"code": "c", "results": [ROW | {"value": "a"}]}),
    ),
    "a state": ("status.json was changed", edited("status.json", "done", "diverged")),
    "seconds": ("status.json was changed", edited("status.json", "1.5", "2.5")),
    "a digest": ("status.json was changed", edited("status.json", '.csv": "', '.csv": "0')),
    "no digests": ("status.json was changed", edited("status.json", "digests", "digest")),
    "no status": ("status.json is missing", lambda f: (f / "status.json").unlink()),
    "torn status": ("status.json cannot", lambda f: (f / "status.json").write_text('{"st')),
    "odd status": ("status.json cannot", lambda f: (f / "status.json").write_text('{"a": 1}')),
    "status folder": ("status.json cannot", folder_instead("status.json")),
    "a curve": ("metrics.csv was changed", edited("metrics.csv", "0.5", "0.1")),
    "cut curves": ("metrics.csv was changed", edited("metrics.csv", "0.5\n", "")),
    "empty curves": ("metrics.csv was changed", lambda f: (f / "metrics.csv").write_text("")),
    "bytes": ("metrics.csv was", lambda f: (f / "metrics.csv").write_bytes(bytes(range(256)))),
    "no curves": ("metrics.csv is missing", lambda f: (f / "metrics.csv").unlink()),
    "a table": ("tables/heads.csv was changed", edited("tables/heads.csv", "0.5", "0.1")),
    "no tables": ("tables/heads.csv is missing", lambda f: shutil.rmtree(f / "tables")),
    "one more": ("tables/new.csv was added", lambda f: (f / "tables" / "new.csv").write_text("")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_changed_is_named_and_has_no_result(tmp_path: Path, damage: str):
    slot = finished(tmp_path)
    said, harm = DAMAGES[damage]
    harm(slot.folder)
    assert slot.read_records().damage.startswith(said)
    assert slot.result() is None
    assert not slot.is_finished("c")


def test_a_record_without_a_number_of_its_format_is_older(tmp_path: Path):
    slot = finished(tmp_path)
    (slot.folder / "status.json").write_text('{"state": "done", "code": "c"}')
    assert (
        slot.read_records().format_mismatch == "status.json has no format, but format 2 is required"
    )
    assert slot.result() is None


def test_what_the_first_of_two_stages_leaves_is_sealed(tmp_path: Path):
    slot = Slot(tmp_path)
    slot.write_first_stage({"code": "c", "from_step": 0, "results": [ROW]})
    slot.write_status("untimed", code="c")
    assert slot.read_first_stage("c") is not None
    slot.write_status("killed", code="c")  # in its second stage
    assert slot.read_first_stage("c") is not None
    assert not slot.read_records().damage
    edited("run.json", "1.0", "0.5")(slot.folder)
    assert slot.read_first_stage("c") is None
    assert slot.read_records().damage == "run.json was changed since it was computed"


def test_the_first_finish_stays(tmp_path: Path):
    slot = finished(tmp_path)
    old = slot.first_finish_time()  # by the age of its result
    assert old is not None
    assert slot.folder.joinpath("first.json").exists() is False
    slot.clear()
    assert slot.first_finish_time() == old
    slot.write_result({"code": "d", "results": []})
    slot.write_first_finish(old.replace(year=old.year + 1))
    slot.write_status("done")
    assert slot.first_finish_time() == old
    (slot.folder / "first.json").write_text("{")
    assert slot.first_finish_time() is not None
    assert Slot(tmp_path / "seed-1").first_finish_time() is None


def frame(entries: list[Entry]) -> pd.DataFrame:
    """All final values but times."""
    results = collection.final_values(collection.snapshot_trials(entries))
    return results[~results.metric.str.startswith("time/")].reset_index(drop=True)


STUDY_DAMAGES = {
    "value": edited("result.json", '"value": 0.', '"value": 9.'),
    "curve": edited("metrics.csv", ",0.", ",9."),
    "state": edited("status.json", "done", "diverged"),
    "folder": folder_instead("result.json"),
    "status folder": folder_instead("status.json"),
    "table": lambda folder: (
        (folder / "tables").mkdir(exist_ok=True),
        (folder / "tables" / "new.csv").write_text("a\n1\n"),
    ),
}


EACH = [(damage, reuse) for damage in STUDY_DAMAGES for reuse in ("strict", "accept")]
FIRST = (("value", "strict"), ("status folder", "accept"))


@pytest.mark.some(1)
@pytest.mark.parametrize(
    ("damage", "reuse"),
    [*FIRST, *(pytest.param(*x, marks=pytest.mark.slow) for x in EACH if x not in FIRST)],
)
def test_a_changed_trial_is_named_and_computed_again(plan, damage: str, reuse: str):
    first = study.run_trials(plan(*ONE))
    (slot,) = [entry.slot for entry in first]
    whole, curves = frame(first), (slot.folder / "metrics.csv").read_text()
    time = slot.first_finish_time()
    STUDY_DAMAGES[damage](slot.folder)
    fault = slot.read_records().damage
    again = plan(*ONE, f"reuse={reuse}")
    entries = study.run_trials(again)
    assert [entry.reused for entry in entries] == [False]
    assert f"moe_top2 seed 0 is computed again: {fault}" in again.notes
    assert not slot.read_records().damage
    result = slot.result()
    assert result is not None
    assert result["from_step"] == 0  # neither checkpoints nor curves of before are used
    pd.testing.assert_frame_equal(frame(entries), whole, check_exact=True)
    assert (slot.folder / "metrics.csv").read_text() == curves
    assert slot.first_finish_time() == time
    third = plan(*ONE)
    assert list_trials(third)[0].reused
    assert third.notes == []


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({}, "status.json has no format, but format 2 is required"),
        ({"format": 1}, "status.json has format 1, but format 2 is required"),
    ],
)
def test_trials_of_another_format_are_named_and_computed_again(plan, record, said):
    made = plan(*TINY, "arm=dense", "n_seeds=16")
    status = {"state": "done", "code": made.arms[0].code, **record}
    for entry in prepare_trials(made):
        entry.slot.write_result({"code": made.arms[0].code, "results": []})
        (entry.slot.folder / "status.json").write_text(json.dumps(status))
    for reuse in ("strict", "accept"):
        again = plan(*TINY, "arm=dense", "n_seeds=16", f"reuse={reuse}")
        assert not any(entry.reused for entry in list_trials(again))
        *named, rest = again.notes
        assert named == [f"dense seed {seed} is computed again: {said}" for seed in range(9)]
        assert rest == (
            "7 more trials were changed or have another format and are computed again: "
            "dense seed 9, dense seed 10, dense seed 11, dense seed 12, dense seed 13 and 2 more"
        )


def test_trials_of_a_newer_version_are_never_overwritten(plan):
    made = plan(*TINY, "arm=dense", "n_seeds=2")
    first, newer = prepare_trials(made)
    status = {"state": "done", "code": "c", "format": 3, "of a newer version": []}
    newer.slot.folder.mkdir(parents=True, exist_ok=True)
    (newer.slot.folder / "status.json").write_text(json.dumps(status))
    again = plan(*TINY, "arm=dense", "n_seeds=2")
    with pytest.raises(ConfigError, match="a newer version of ablab has written dense seed 1; use"):
        list_trials(again)
    assert json.loads((newer.slot.folder / "status.json").read_text()) == status
    (newer.slot.folder / "status.json").unlink()
    assert [entry.slot for entry in list_trials(again)] == [first.slot, newer.slot]
