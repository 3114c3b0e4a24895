"""Records that nobody has written in this form are found out before anything relies on them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.records.schemas import is_pieces
from runner.trial.trial import PIECES, Trial

KEPT: dict[str, Any] = {"done": 2, "step": 4, "results": {}, "tables": {}, "curves": {}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("results", {"val/loss": [None, ""]}),
        ("results", {"val/loss": [True, ""]}),
        ("results", {"val/loss": [1.0]}),
        ("results", {"val/loss": [10**400, ""]}),
        ("done", -1),
        ("done", None),
        ("step", 2**63),
        ("tables", {"heads": []}),
        ("curves", []),
    ],
)
def test_a_damaged_value_of_finished_measurements_is_found_out(key: str, value: object):
    assert is_pieces(KEPT)
    assert not is_pieces(KEPT | {key: value})


@pytest.mark.parametrize(
    "damage",
    [
        {"done": 4},
        {"results": {"val/loss": [{"float": "many"}, ""]}},
        {"results": {"val/loss": [{"float": 10**400}, ""]}},
        {"curves": {"size": 2**62, "sha256": ""}},
    ],
)
def test_measurements_begin_anew_where_what_they_left_is_damaged(tmp_path: Path, damage: Any):
    notes: list[str] = []
    job = SimpleNamespace(slot=SimpleNamespace(folder=tmp_path))
    trial: Any = SimpleNamespace(_job=job, note=notes.append)
    (tmp_path / PIECES).write_text(json.dumps(KEPT))
    assert Trial._load_pieces(trial, tmp_path / PIECES, 3) == KEPT
    (tmp_path / PIECES).write_text(json.dumps(KEPT | damage))
    assert Trial._load_pieces(trial, tmp_path / PIECES, 3)["done"] == 0
    assert len(notes) == 1
