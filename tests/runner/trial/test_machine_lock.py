"""The machine lock: exclusive for timing processes, shared by computing ones."""

import errno
import multiprocessing
import os
import tempfile
from functools import partial
from pathlib import Path

import pytest

from runner.records import locks
from runner.study import run as study
from runner.trial import machine_lock
from tests.support.tiny import TINY

CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


def hold(timing: bool, name: str, events, release) -> None:
    waits, fails = (partial(events.put, (name, what)) for what in ("waits", "fails"))
    with machine_lock.lock_machine(exclusive=timing, on_wait=waits, on_failure=lambda _: fails()):
        events.put((name, "begins"))
        release.wait(20)
        events.put((name, "ends"))


class Holder:
    """A process that holds the lock until the test releases it."""

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
    late = Holder("c", events, timing=False)  # must not start before the timing
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
    first.process.kill()  # the system releases the lock of a killed process
    first.process.join()
    assert events.get() == ("b", "begins")
    second.let_go()


def nobody_there() -> None:
    pytest.fail("nobody to wait for")


def test_where_nothing_can_be_written_trials_run_all_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    said: list[str] = []
    with machine_lock.lock_machine(exclusive=True, on_wait=nobody_there, on_failure=said.append):
        assert len(said) == 1
    assert "No such file or directory" in said[0]


@pytest.mark.parametrize("timing", [True, False])
@pytest.mark.parametrize("refused", [1, 2])
def test_on_a_filesystem_without_locks_trials_run_all_the_same(
    monkeypatch: pytest.MonkeyPatch, refused: int, timing: bool
):
    honest, calls = locks.fcntl.flock, iter(range(1, 9))

    def flock(descriptor: int, how: int) -> None:
        if next(calls) == refused:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        honest(descriptor, how)

    with monkeypatch.context() as patch:
        patch.setattr(locks.fcntl, "flock", flock)
        said: list[str] = []
        with machine_lock.lock_machine(
            exclusive=timing, on_wait=nobody_there, on_failure=said.append
        ):
            (why,) = said
            assert os.strerror(errno.ENOLCK) in why
            # Neither of the two locks stays held.
            patch.setattr(locks.fcntl, "flock", honest)
            with machine_lock.lock_machine(
                exclusive=True, on_wait=nobody_there, on_failure=pytest.fail
            ):
                pass


def test_without_file_locks_trials_run_all_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "fcntl", None)
    said: list[str] = []
    with machine_lock.lock_machine(exclusive=False, on_wait=nobody_there, on_failure=said.append):
        assert said == ["this system has no file locks"]


def test_that_nothing_can_be_locked_is_said_once_a_study(plan, monkeypatch, capsys):
    def run_jobs(jobs, workers, on_event) -> None:  # noqa: ARG001
        for job in jobs:
            on_event(job, {"state": "started", "pid": 1})
            on_event(job, {"note": "no locks here"})
            on_event(job, {"state": "ended", "exitcode": 1, "pid": 1})

    monkeypatch.setattr("runner.study.pool.run_jobs", run_jobs)
    study.run_trials(plan(*TINY))
    assert capsys.readouterr().out.count("note: no locks here\n") == 1
