"""Processes of trials: how their ends are detected, and how they are stopped."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.questions import QUESTIONS
from runner import registry
from runner.records.job import Job, Stage
from runner.study import interrupts, pool, termination, trial_process
from runner.study.entries import make_job, prepare_trials
from runner.study.outcomes import finalize_status
from tests.support.environment import child_environment
from tests.support.tiny import TINY


def test_an_error_of_who_listens_is_no_end_of_a_process(plan):
    study_plan = plan(*TINY, "arm=dense", "n_seeds=1")
    (entry,) = prepare_trials(study_plan)
    heard = []

    def on_event(job: Job, event: dict[str, Any]) -> None:  # noqa: ARG001
        heard.append(event)
        if "loss" in event:
            raise BrokenPipeError("whoever reads our output has gone")

    with pytest.raises(BrokenPipeError, match="has gone"):
        pool.run_jobs([make_job(study_plan, entry, Stage.run)], 1, on_event)
    assert "ended" not in [event.get("state") for event in heard]


def slow_to_stop(started: Any, path: Path, seconds: float) -> None:
    """On a request to stop, take a while, write a file and exit."""

    def save(*_: object) -> None:
        time.sleep(seconds)
        path.touch()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, save)
    started.set()
    for _ in range(600):  # a signal just before a sleep is handled at its end
        time.sleep(0.1)


def begun(path: Path, seconds: float) -> Any:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=slow_to_stop, args=(started, path, seconds), daemon=True)
    process.start()
    assert started.wait(20)
    return process


def test_who_is_asked_to_stop_has_time_for_a_checkpoint(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(termination, "NOTICE_SECONDS", 0.1)
    processes = [begun(tmp_path / name, 0.5) for name in ("a", "b")]
    termination.stop_processes(processes)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    assert [process.exitcode for process in processes] == [1, 1]
    assert capsys.readouterr().err.count("waiting up to 60 s for checkpoints") == 1


def test_who_ends_soon_is_not_spoken_of(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(termination, "NOTICE_SECONDS", 20.0)
    termination.stop_processes([begun(tmp_path / "a", 0.0)])
    termination.stop_processes([])
    assert capsys.readouterr().err == ""


def test_who_takes_too_long_is_forced(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(termination, "NOTICE_SECONDS", 0.1)
    monkeypatch.setattr(termination, "GRACE_SECONDS", 0.3)
    process = begun(tmp_path / "a", 30.0)
    termination.stop_processes([process])
    assert process.exitcode == -signal.SIGKILL


class Orphan:
    """The wrong state that multiprocessing reports of a living process whose server was killed."""

    sentinel, exitcode = -1, termination.SERVER_KILLED_EXIT_CODE

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def is_alive(self) -> bool:
        return False

    def nothing(self, *_: float) -> None:
        """Send no signal and return at once, as for a dead process."""

    terminate = kill = join = nothing


def test_trials_whose_server_was_killed_have_time_for_a_checkpoint_too(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(termination, "NOTICE_SECONDS", 0.1)
    process = begun(tmp_path / "a", 0.5)
    termination.stop_processes([Orphan(process.pid)])
    assert (tmp_path / "a").exists()
    assert process.exitcode == 1


def test_a_trial_whose_server_was_killed_is_forced_where_it_takes_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(termination, "NOTICE_SECONDS", 0.1)
    monkeypatch.setattr(termination, "GRACE_SECONDS", 0.2)
    process = begun(tmp_path / "a", 30.0)
    termination.stop_processes([Orphan(process.pid)])
    process.join(5)
    assert process.exitcode == -signal.SIGKILL


def test_that_its_server_was_killed_is_told_of_a_trial(tmp_path: Path):
    server, process = begun(tmp_path / "server", 0.0), begun(tmp_path / "a", 0.2)
    server.kill()
    server.join()
    ours, theirs = multiprocessing.Pipe(duplex=False)
    job = SimpleNamespace(timeout_s=None)
    each = trial_process.TrialProcess(job, Orphan(process.pid), ours, server_pid=server.pid)
    assert not each.has_ended()  # it is requested to stop, and writes its checkpoint
    theirs.close()
    within(20, each.has_ended)
    assert (tmp_path / "a").exists()
    (event,) = each.close()
    assert event["why"] == "the server that started it was killed"


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["heard", "ignored"])
def _inherited(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set Python's handler of SIGINT; a script's background jobs (`pytest &`) ignore the signal."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_inherited")
@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_second_interrupt_ends_at_once(tmp_path: Path, monkeypatch, number: int):
    monkeypatch.setattr(termination, "NOTICE_SECONDS", 0.1)
    processes = [begun(tmp_path / name, 30.0) for name in ("a", "b")]
    me = threading.main_thread().ident
    timer = threading.Timer(0.3, signal.pthread_kill, [me, number])
    wait = termination.wait_until_ended

    def interrupted_wait(*arguments: Any) -> bool:
        if timer.ident is None:  # not earlier: the signal would end the test on a slow machine
            timer.start()
        return wait(*arguments)

    monkeypatch.setattr(termination, "wait_until_ended", interrupted_wait)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        termination.stop_processes(processes)
    assert time.monotonic() - began < 10
    assert [process.exitcode for process in processes] == [-signal.SIGKILL] * 2


@pytest.mark.usefixtures("_inherited")
def test_an_interrupt_that_gets_lost_is_noticed(plan, monkeypatch):
    handlers = {number: signal.getsignal(number) for number in (*interrupts.SIGNALS, signal.SIGHUP)}
    monkeypatch.setattr(interrupts.ReceivedSignals, "count", 0)
    study_plan = plan(*TINY, "arm=dense", "n_seeds=1")
    (entry,) = prepare_trials(study_plan)
    heard = []
    try:
        interrupts.listen()
        with contextlib.suppress(KeyboardInterrupt):  # as a destructor does, or a bare `except`
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            pool.run_jobs([make_job(study_plan, entry, Stage.run)], 1, lambda _, e: heard.append(e))
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert "ended" not in [event.get("state") for event in heard]


def child_with_a_child(started: Any, path: Path) -> None:
    """Start a process group with a forked process in it, and exit."""
    os.setsid()
    if not (child := os.fork()):
        time.sleep(60)
    path.write_text(str(child))
    started.set()
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_process_has_forked_ends_with_it(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=child_with_a_child, args=(started, tmp_path / "pid"))
    process.start()
    assert started.wait(20)
    within(20, lambda: not process.is_alive())
    pid = int((tmp_path / "pid").read_text())
    assert lives(pid)
    termination.kill_process_group(process)
    within(10, lambda: not lives(pid))


def within(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def lives(pid: int) -> bool:
    """Return whether a process lives; a zombie does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


class Talker:
    """A fake process, for the clocks of `TrialProcess`."""

    pid = None
    sentinel = -1
    exitcode = None

    def __init__(self) -> None:
        self.asked = 0

    def terminate(self) -> None:
        self.asked += 1

    def kill(self) -> None:
        self.asked += 10

    def is_alive(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch, limit: float | None) -> Any:
    """A job's process whose clock a test sets; its messages go into the pipe."""
    clock = [0.0]
    monkeypatch.setattr(trial_process, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    ours, theirs = multiprocessing.Pipe(duplex=False)
    job = SimpleNamespace(timeout_s=limit)
    return (
        trial_process.TrialProcess(job, Talker(), ours, computing_since=0.0, last_event_time=0.0),
        theirs,
        clock,
    )


def test_silence_is_told_ever_more_rarely(monkeypatch: pytest.MonkeyPatch):
    each, pipe, clock = watched(monkeypatch, None)
    minutes = []
    for minute in range(100):
        clock[0] = minute * 60.0
        minutes += [minute for event in each.events() if event.get("state") == "silent"]
        if minute == 50:
            pipe.send({"step": 1, "steps": 2, "loss": 0.0})
    assert minutes == [5, 10, 20, 40, 56, 61, 71, 91]


def test_only_computing_counts_as_time(monkeypatch: pytest.MonkeyPatch):
    each, pipe, clock = watched(monkeypatch, 30.0)
    pipe.send({"state": "waiting", "why": "another process computes it"})
    list(each.events())
    clock[0] = 1000.0
    assert list(each.events()) == []
    pipe.send({"state": "computing"})
    list(each.events())
    clock[0] = 1029.0
    list(each.events())
    assert each.process.asked == 0
    clock[0] = 1031.0
    list(each.events())
    assert each.process.asked == 1  # it is requested to stop first, and only once
    clock[0] = 1060.0
    list(each.events())
    assert each.process.asked == 1
    clock[0] = 1062.0
    list(each.events())
    assert each.process.asked == 11
    assert each.end_reason == "took longer than timeout_s=30"


@pytest.mark.some(1)
@pytest.mark.parametrize("error", [EOFError("the server died"), OSError(24, "Too many open files")])
def test_a_process_that_cannot_be_started_costs_its_trial_alone(plan, monkeypatch, error):
    study_plan = plan(*TINY, "arm=dense", "n_seeds=2")
    entries = prepare_trials(study_plan)

    def start(_: Any) -> None:
        raise error

    monkeypatch.setattr(pool, "server_context", lambda _: multiprocessing.get_context("fork"))
    monkeypatch.setattr(pool.forkserver, "ensure_running", lambda: None)
    monkeypatch.setattr("multiprocessing.context.ForkProcess.start", start)
    heard = []
    jobs = [make_job(study_plan, entry, Stage.run) for entry in entries]
    pool.run_jobs(jobs, 2, lambda job, event: heard.append((job, event)))
    assert [event["state"] for _, event in heard] == ["ended"] * 2
    for job, event in heard:
        final_status = finalize_status(job, event["exitcode"], event["pid"], event["why"])
        assert final_status["state"] == "failed"
        assert final_status["message"].startswith("its process could not be started (")
        assert job.slot.status()["message"] == final_status["message"]


def test_the_server_imports_our_pages_and_none_of_a_plug_in(monkeypatch):
    options = type("Options", (registry.options_class("moe"),), {"__module__": "asked"})
    monkeypatch.setitem(QUESTIONS, "simple", options)
    names = ["moe", "simple", "ffn", "moe"]
    jobs: Any = [SimpleNamespace(config=SimpleNamespace(experiment=name)) for name in names]
    assert pool.page_modules(jobs) == ["experiments.ffn", "experiments.moe"]


STARTS = """
import multiprocessing, os, shutil, signal, sys
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace

from runner.study import pool, socket_folder

def lose_folder():
    shutil.rmtree(socket_folder.multiprocessing.current_process()._config["tempdir"])

def lose_socket():
    Path(forkserver._forkserver._forkserver_address).unlink()

def lose_server():
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)

pool.run_in_child = slice  # work that a process can do with a job, a pipe and a GPU
context = multiprocessing.get_context("forkserver")
running = []
for lose in (print, lose_folder, lose_socket, lose_server):
    lose()
    socket_folder.prepare_socket_folder()
    job = SimpleNamespace(arm="a", seed=0, device="cpu")
    pool.start_job(context, job, running, lambda _, event: print(event["state"]))
    running[-1].process.join()
    print(running[-1].process.exitcode)
lose_folder()
"""


def test_a_lost_socket_or_server_costs_no_trial_and_no_traceback(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", STARTS],
        env=child_environment() | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["started", "0"] * 4
