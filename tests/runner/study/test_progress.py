"""The display of a study: a line at least every ten seconds in a pipe, bars in a terminal."""

import io
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from runner.records.job import Stage
from runner.study import heartbeat
from runner.study.heartbeat import Heartbeat
from runner.study.outcomes import TrialEventHandler
from runner.study.progress import Progress
from runner.study.time_left import Piece, TimeLeft


def time_left(**weights: float) -> TimeLeft:
    pieces = {
        (f"{arm} seed 0", Stage.run): Piece(Stage.run, weight) for arm, weight in weights.items()
    }
    return TimeLeft(pieces, 1, in_seconds=True)


def wait_for(lines: list[str], number: int) -> None:
    until = time.monotonic() + 20
    while len(lines) < number:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_line_comes_after_some_seconds_without_one():
    lines: list[str] = []
    with Heartbeat(lambda: "alive", lines.append, 0.05) as beat:
        wait_for(lines, 2)
        beat.touch()
    n_lines = len(lines)
    time.sleep(0.2)
    assert len(lines) == n_lines  # it ends with its block
    with Heartbeat(lambda: "alive", lines.append, 100.0):
        time.sleep(0.1)
    assert len(lines) == n_lines
    assert heartbeat.SECONDS + heartbeat.CHECK_SECONDS < 10


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no masks")
def test_the_thread_takes_no_signal_of_the_command():
    masks: list[set[int]] = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with Heartbeat(
        lambda: "", lambda _: masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, [])), 0.01
    ):
        wait_for(masks, 1)  # type: ignore[arg-type]
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    assert {signal.SIGINT, signal.SIGTERM} <= masks[0]


def test_the_line_names_trials_steps_and_the_time_left():
    progress = Progress("moe (quick)", total=3, reused=1, time_left=time_left(a=120.0, b=120.0))
    assert progress.describe() == (
        "moe (quick): 1 of 3 trials, about 4 min left; the first trials are starting"
    )
    progress.start("a seed 0", Stage.run)
    progress.compute("a seed 0")
    progress.step("a seed 0", 150, 300, 2.345678)
    progress.start("b seed 0", Stage.run)
    progress.show_waiting("b seed 0", "another process computes it")
    assert progress.describe() == (
        "moe (quick): 1 of 3 trials, about 3 min left; "
        "a seed 0 step 150/300 loss 2.346, 1 trial waits"
    )
    for number in range(5):
        progress.start(f"c seed {number}", Stage.run)
    assert "c seed 1 starts and 3 more, 1 trial waits" in progress.describe()


def test_a_trial_that_ends_has_a_line_with_the_time_left(capsys):
    progress = Progress("moe", total=2, reused=0, time_left=time_left(a=30.0, b=30.0))
    for name in ("a seed 0", "b seed 0"):
        progress.start(name, Stage.run)
        progress.compute(name)
        progress.end(name, "done", 12.34, "")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "[1/2] a seed 0: done in 12.3 s; about 10 s left"
    assert second == "[2/2] b seed 0: done in 12.3 s"


def test_a_reason_to_wait_is_printed_once_for_all_trials(capsys):
    progress = Progress("moe", total=3, reused=0)
    for name in ("a seed 0", "b seed 0", "a seed 1"):
        progress.start(name, Stage.timing)
        progress.show_waiting(name, "ffn (process 7) times its trials")
    assert capsys.readouterr().out == "waiting: ffn (process 7) times its trials (a seed 0)\n"
    assert "3 trials wait" in progress.describe()


def test_in_a_pipe_the_thread_prints_and_ends_with_the_study(monkeypatch, capsys):
    monkeypatch.setattr(heartbeat, "SECONDS", 0.05)
    with Progress("moe", total=1, reused=0, opening=("first", "second")) as progress:
        progress.start("a seed 0", Stage.run)
        time.sleep(0.5)
        n_threads = threading.active_count()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["first", "second"]
    assert lines[2] == "moe: 0 of 1 trial; a seed 0 starts"
    assert threading.active_count() == n_threads - 1


def test_where_all_trials_are_reused_no_thread_is_started(capsys):
    n_threads = threading.active_count()
    with Progress("moe", total=2, reused=2, opening=("all reused",)):
        assert threading.active_count() == n_threads
    assert capsys.readouterr().out == "all reused\n"


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_bars_in_a_terminal_show_the_time_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    with Progress("moe", total=2, reused=0, time_left=time_left(a=300.0, b=300.0)) as progress:
        progress.start("a seed 0", Stage.run)
        progress.compute("a seed 0")
        progress.step("a seed 0", 1, 2, 3.0)
        time.sleep(0.3)  # the bars are drawn ten times a second
        progress.end("a seed 0", "failed", 1.0, "broken")
    text = terminal.getvalue()
    assert "about 10 min left" in text
    assert "loss 3" in text
    assert "a seed 0: failed in 1.0 s (broken)" in text


def test_a_timed_trial_has_a_line_for_each_stage(capsys):
    progress = Progress("flash_attention", total=1, reused=0)
    name = "tiled seed 0"
    progress.start(name, Stage.run)
    progress.step(name, 2, 6, 0.0)
    assert progress.describe().endswith("0 of 1 trial; tiled seed 0 step 2/6")
    progress.end(name, "untimed", 16.8, "")
    progress.start(name, Stage.timing)
    progress.compute(name)
    assert progress.describe().endswith("0 of 1 trial (1 more to be timed); tiled seed 0 is timed")
    progress.end(name, "done", 21.0, "")
    assert capsys.readouterr().out.splitlines() == [
        "[0/1] tiled seed 0: computed in 16.8 s, to be timed",
        "[1/1] tiled seed 0: done in 21.0 s",
    ]


def test_no_time_is_promised_while_trials_are_timed_again():
    name = "tiled seed 0"
    pieces = {(name, stage): Piece(stage, 30.0) for stage in Stage}
    left = TimeLeft(pieces, 1, in_seconds=True)
    progress = Progress("flash_attention", total=1, reused=0, time_left=left)
    for stage, state in ((Stage.run, "untimed"), (Stage.timing, "done")):
        progress.start(name, stage)
        progress.compute(name)
        assert " left; " in progress.describe()
        progress.end(name, state, 1.0, "")
    assert progress.describe_time_left() == ""
    progress.start(name, Stage.timing)
    progress.compute(name)
    assert progress.describe() == (
        "flash_attention: 1 of 1 trial, trials are timed again; tiled seed 0 is timed"
    )
    progress.end(name, "timed again", 1.0, "")
    assert progress.describe_time_left() == ""


def test_a_trial_that_diverges_is_not_waited_for_to_be_timed():
    pieces = {(name, stage): Piece(stage, 100.0) for name in "ab" for stage in Stage}
    progress = Progress("moe", total=2, reused=0, time_left=TimeLeft(pieces, 1, in_seconds=True))
    for name, state in (("a", "diverged"), ("b", "untimed")):
        progress.start(name, Stage.run)
        progress.end(name, state, 1.0, "")
    assert progress.describe_time_left() == "about 2 min left"  # one timing


def test_a_resumed_trial_says_where_it_began():
    left = time_left(a=100.0, b=100.0)
    handler = TrialEventHandler(Progress("moe", total=2, reused=0, time_left=left))
    job = SimpleNamespace(arm="a", seed=0, stage=Stage.run, slot="slot")
    for event in (
        {"state": "started", "pid": 1},
        {"state": "computing"},
        {"step": 150, "steps": 200, "loss": 1.0, "from_step": 100},
    ):
        handler.handle(job, event)  # type: ignore[arg-type]
    piece = left.pieces["a seed 0", Stage.run]
    assert (piece.start_share, piece.share) == (0.5, 0.75)


def test_a_trial_that_is_timed_again_has_ended_before():
    progress, name = Progress("flash_attention", total=1, reused=1), "tiled seed 0"
    progress.start(name, Stage.timing)
    progress.end(name, "timed again", 25.0, "")
    assert progress.describe().endswith("1 of 1 trial; the first trials are starting")


def test_the_first_line_may_come_sooner_than_the_others():
    lines: list[str] = []
    with Heartbeat(lambda: "alive", lines.append, 100.0, first=0.05):
        time.sleep(0.7)
    assert lines == ["alive"]
