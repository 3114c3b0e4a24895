"""Processes of trials: what their ends are told from, and how they are ended."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests_tiny import TINY

from runner import pool, study
from runner.job import Job, Stage


def test_an_error_of_who_listens_is_no_end_of_a_process(plan):
    made = plan(*TINY, "arm=dense", "n_seeds=1")
    (entry,) = study.enter(made)
    heard = []

    def on_event(job: Job, event: dict[str, Any]) -> None:  # noqa: ARG001
        heard.append(event)
        if "loss" in event:
            raise BrokenPipeError("whoever reads our output has gone")

    with pytest.raises(BrokenPipeError, match="has gone"):
        pool.run_jobs([study.job(made, entry, Stage.run)], 1, on_event)
    assert "ended" not in [event.get("state") for event in heard]


def slow_to_stop(started: Any, path: Path, seconds: float) -> None:
    """Asked to end, take a while, write a file and end."""

    def save(*_: object) -> None:
        time.sleep(seconds)
        path.touch()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, save)
    started.set()
    time.sleep(60)


def begun(path: Path, seconds: float) -> Any:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=slow_to_stop, args=(started, path, seconds), daemon=True)
    process.start()
    assert started.wait(20)
    return process


def test_who_is_asked_to_stop_has_time_for_a_checkpoint(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(pool, "SOON", 0.1)
    processes = [begun(tmp_path / name, 0.5) for name in ("a", "b")]
    pool.stop(processes)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    assert [process.exitcode for process in processes] == [1, 1]
    assert capsys.readouterr().err.count("waiting up to 60 s for checkpoints") == 1


def test_who_ends_soon_is_not_spoken_of(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(pool, "SOON", 20.0)
    pool.stop([begun(tmp_path / "a", 0.0)])
    pool.stop([])
    assert capsys.readouterr().err == ""


def test_who_takes_too_long_is_forced(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(pool, "SOON", 0.1)
    monkeypatch.setattr(pool, "GRACE", 0.3)
    process = begun(tmp_path / "a", 30.0)
    pool.stop([process])
    assert process.exitcode == -signal.SIGKILL


def test_a_second_interrupt_ends_at_once(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(pool, "SOON", 0.1)
    processes = [begun(tmp_path / name, 30.0) for name in ("a", "b")]
    me = threading.main_thread().ident
    threading.Timer(0.5, signal.pthread_kill, [me, signal.SIGINT]).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        pool.stop(processes)
    assert time.monotonic() - began < 10
    assert [process.exitcode for process in processes] == [-signal.SIGKILL] * 2
