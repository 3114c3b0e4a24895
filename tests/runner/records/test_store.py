"""The trial store: found by signature, atomic, never fooled by damage."""

import json
import math
from pathlib import Path

import pytest

from runner.records import store


def test_an_arm_is_found_by_its_signature_whatever_its_name(tmp_path: Path):
    old = tmp_path / "moe" / "trials" / "first_name-0123456789abcdef"
    old.mkdir(parents=True)
    found = store.Store(tmp_path, "moe")
    assert found.arm_folder("other_name", "0123456789abcdef") == old
    assert found.arm_folder("other_name", "f" * 16).name == "other_name"


def test_two_names_of_one_signature_share_a_folder(tmp_path: Path):
    both = store.Store(tmp_path, "moe")
    assert both.slot("a", "sig", 0) == both.slot("b", "sig", 0)


def test_a_result_counts_only_with_a_finished_status(tmp_path: Path):
    slot = store.Slot(tmp_path / "seed-0")
    assert slot.status() == {"state": "pending"}
    slot.write_result({"code": "c", "results": []})
    assert slot.result() is None
    for state, counts in [("running", False), ("failed", False), ("killed", False), ("done", True)]:
        slot.write_status(state)
        assert (slot.result() is not None) == counts, state
    slot.write_status("diverged")
    assert slot.result() is not None


@pytest.mark.parametrize("damage", ["", "{", "null", '"text"', "[1]"])
def test_damaged_records_are_as_good_as_none(tmp_path: Path, damage: str):
    slot = store.Slot(tmp_path)
    slot.write_status("done")
    slot.write_result({"code": "c", "results": []})
    (tmp_path / "result.json").write_text(damage)
    assert slot.result() is None
    (tmp_path / "status.json").write_text(damage)
    assert slot.status()["state"] == "pending"


def test_writing_is_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "x.json"
    store.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        store.write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_null_in_the_record_and_read_back_as_nan(tmp_path: Path, value: float):
    slot = store.Slot(tmp_path)
    rows = [
        {"metric": "a", "value": value, "unit": "1"},
        {"metric": "b", "value": 2.0, "unit": "1"},
    ]
    slot.write_result({"code": "c", "results": rows})
    slot.write_status("diverged")
    text = (tmp_path / "result.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["results"][0]["value"] is None
    found = slot.result()["results"]
    assert math.isnan(found[0]["value"])
    assert found[1] == rows[1]
    slot.write_first_stage({"code": "c", "results": rows})
    assert math.isnan(slot.read_first_stage("c")["results"][0]["value"])
