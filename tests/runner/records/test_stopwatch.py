"""Seconds of a trial are the sum over its processes."""

from pathlib import Path

import pytest

from runner.records.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of `perf_counter`, to be moved by hand; each process has a zero of its own."""
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    return now


def test_a_process_counts_behind_what_earlier_ones_have_noted(tmp_path: Path, clock: list[float]):
    first = Stopwatch(tmp_path / "seconds.json")
    clock[0] = 10.0
    first.save()
    clock[0] = 12.0  # killed now: two seconds are lost
    clock[0] = 3.0
    second = Stopwatch(tmp_path / "seconds.json")
    clock[0] = 4.5
    assert second.save() == 11.5
    clock[0] = 100.0
    assert Stopwatch(tmp_path / "seconds.json").seconds() == 11.5


@pytest.mark.parametrize("damage", ["", "{", "{}"])
def test_a_damaged_note_is_as_good_as_none(tmp_path: Path, clock: list[float], damage: str):
    (tmp_path / "seconds.json").write_text(damage)
    watch = Stopwatch(tmp_path / "seconds.json")
    clock[0] = 2.0
    assert watch.seconds() == 2.0
