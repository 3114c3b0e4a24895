"""Who times has the machine alone; who computes shares it."""

import multiprocessing
import tempfile
import time
from pathlib import Path

import pytest

from runner import alone

CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def hold(timing: bool, name: str, events, release) -> None:
    with alone.turn(timing=timing, on_wait=lambda: events.put((name, "waits"))):
        events.put((name, "begins"))
        release.wait(20)
        events.put((name, "ends"))


class Holder:
    """A process that holds its turn until it is told to let go."""

    def __init__(self, name: str, events, *, timing: bool) -> None:
        self.release = CONTEXT.Event()
        self.process = CONTEXT.Process(target=hold, args=(timing, name, events, self.release))
        self.process.start()

    def let_go(self) -> None:
        self.release.set()
        self.process.join(20)


def test_two_compute_side_by_side_and_timing_waits_for_both():
    events = CONTEXT.SimpleQueue()
    first, second = Holder("a", events, timing=False), Holder("b", events, timing=False)
    assert {events.get(), events.get()} == {("a", "begins"), ("b", "begins")}
    timer = Holder("t", events, timing=True)
    assert events.get() == ("t", "waits")
    late = Holder("c", events, timing=False)  # must not slip in before the timing
    assert events.get() == ("c", "waits")
    first.let_go()
    second.let_go()
    assert [events.get() for _ in range(3)] == [
        ("a", "ends"),
        ("b", "ends"),
        ("t", "begins"),
    ]
    timer.let_go()
    assert [events.get() for _ in range(2)] == [("t", "ends"), ("c", "begins")]
    late.let_go()
    assert events.get() == ("c", "ends")


def test_two_that_time_take_turns():
    events = CONTEXT.SimpleQueue()
    first = Holder("a", events, timing=True)
    assert events.get() == ("a", "begins")
    second = Holder("b", events, timing=True)
    assert events.get() == ("b", "waits")
    first.process.kill()  # a killed process leaves no lock behind
    first.process.join()
    assert events.get() == ("b", "begins")
    second.let_go()


def test_where_nothing_can_be_locked_trials_run_all_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    began = time.monotonic()
    with alone.turn(timing=True, on_wait=lambda: pytest.fail("nobody to wait for")):
        assert time.monotonic() - began < 5
