"""Signals in the process of a launcher's job: first the trials' checkpoints, then its handler."""

import signal
import threading

import pytest

from runner.study import interrupts

TERM, USR2 = signal.SIGTERM, signal.SIGUSR2


@pytest.fixture
def calls() -> list[str]:
    """Install handlers as submitit does, and return what happens in order."""
    happened: list[str] = []

    def requeue(*_: object) -> None:
        happened.append("queued again")
        raise SystemExit(-1)

    signal.signal(TERM, lambda *_: happened.append("SIGTERM is logged"))
    signal.signal(USR2, requeue)
    return happened


def compute(happened: list[str], *numbers: int) -> None:
    """Get signals while trials run, and write their checkpoints."""
    try:
        for number in numbers:
            signal.raise_signal(number)
    finally:
        happened.append("checkpoints")


def test_a_job_near_its_time_limit_writes_checkpoints_before_it_is_queued_again(calls: list[str]):
    handler = signal.getsignal(USR2)
    with pytest.raises(SystemExit), interrupts.listen_in_job():
        compute(calls, USR2)
    assert calls == ["checkpoints", "queued again"]
    assert signal.getsignal(USR2) is handler


def test_a_job_that_is_to_end_writes_checkpoints_and_has_no_result(calls: list[str]):
    with pytest.raises(KeyboardInterrupt), interrupts.listen_in_job():
        compute(calls, TERM)
    assert calls == ["checkpoints", "SIGTERM is logged"]


def save_slowly(happened: list[str]) -> None:
    """Get SIGTERM, and SIGUSR2 while the checkpoints are written."""
    try:
        signal.raise_signal(TERM)
    finally:
        with interrupts.defer_interrupts() as interrupted:
            signal.raise_signal(USR2)
            happened.append("checkpoints cut short" if interrupted() else "checkpoints")


def test_a_repeated_signal_does_not_cut_checkpoints_short(calls: list[str], monkeypatch):
    monkeypatch.setattr(interrupts, "SAME_SIGNAL_SECONDS", 0.0)
    with pytest.raises(SystemExit), interrupts.listen_in_job():
        save_slowly(calls)
    assert calls == ["checkpoints", "SIGTERM is logged", "queued again"]


def swallow(happened: list[str]) -> None:
    """Get a signal in code that turns its exception into another one."""
    try:
        signal.raise_signal(USR2)
    except BaseException:
        happened.append("swallowed")


def test_a_swallowed_signal_ends_the_job_all_the_same(calls: list[str]):
    with pytest.raises(SystemExit), interrupts.listen_in_job():
        swallow(calls)
    assert calls == ["swallowed", "queued again"]


def test_a_job_without_signals_leaves_no_trace(calls: list[str]):
    before = [signal.getsignal(number) for number in (*interrupts.SIGNALS, signal.SIGHUP)]
    with interrupts.listen_in_job():
        assert interrupts.ReceivedSignals.in_job
    after = [signal.getsignal(number) for number in (*interrupts.SIGNALS, signal.SIGHUP)]
    assert before == after
    assert not interrupts.ReceivedSignals.in_job
    assert calls == []


def test_a_job_in_another_thread_is_computed_without_handlers():
    handlers: list[object] = []

    def compute_in_thread() -> None:
        with interrupts.listen_in_job():
            handlers.append(signal.getsignal(USR2))

    thread = threading.Thread(target=compute_in_thread)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(USR2)]


def test_the_command_itself_ends_in_order_on_sigusr2():
    interrupts.listen()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(USR2)
    with pytest.raises(KeyboardInterrupt):
        interrupts.raise_if_interrupted()
