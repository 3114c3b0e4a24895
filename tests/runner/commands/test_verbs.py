"""Every verb: help, wrong keys and flags, the keys that all share, exit codes, and Ctrl-C."""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from runner import __main__ as command_main
from runner.plan import option_folders
from runner.study import interrupts
from tests.support.environment import FULL_ERROR, child_environment

WORDS = {"parts": ["norm"], "new": ["ffn", "my_tested"], "schema": ["tune"]}
"""Arguments with which a verb does something in an empty folder."""
VERBS = list(command_main.VERBS)


class Ending(NamedTuple):
    """The end of a command: its exit code and its output."""

    code: int
    out: str
    err: str


Call = Callable[[Sequence[str]], Ending]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Call]:
    """Call the command in this process, in an empty folder."""
    handlers = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    hang_up = signal.getsignal(signal.SIGHUP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FULL_ERROR, "0")
    monkeypatch.setattr("runner.wording.output.protect_streams", lambda: None)

    def ended(arguments: Sequence[str]) -> Ending:
        monkeypatch.setattr("sys.argv", ["runner", *arguments])
        code = 0
        try:
            command_main.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        return Ending(code, *capsys.readouterr())

    yield ended
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.signal(signal.SIGHUP, hang_up)
    interrupts.ReceivedSignals.count = 0
    option_folders.UserOptions.reset()


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("verb", VERBS)
def test_help_names_what_to_type(verb: str, flag: str, call: Call):
    end = call([verb, "outputs=absent", flag])
    assert (end.code, end.err) == (0, "")
    assert end.out.startswith(f"usage: python -m runner {verb}")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("colour=red", "colour=red: there is no such key; "),
        ("--colour", "--colour: there is no such flag; type python -m runner "),
        ("--colour=red", "--colour: there is no such flag; type python -m runner "),
        ("outputs=", "outputs=: name a folder"),
    ],
)
@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_argument_is_one_clear_line(verb: str, wrong: str, said: str, call: Call):
    end = call([verb, *WORDS.get(verb, []), wrong])
    assert (end.code, end.out) == (2, "")
    assert len(end.err.splitlines()) == 1
    assert f"ablab: {said}" in end.err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_key_is_set_once(verb: str, call: Call):
    end = call([verb, *WORDS.get(verb, []), "outputs=a", "outputs=b"])
    assert end.code == 2
    assert "outputs is set twice" in end.err


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_of_outputs_that_is_missing_is_named_or_not_needed(verb: str, call: Call):
    end = call([verb, *WORDS.get(verb, []), "outputs=absent"])
    if verb in ("parts", "new", "schema"):
        assert end.code == 0
        assert end.err == "note: this command does not need outputs, and ignores it\n"
    else:
        assert end.code == 2
        assert "absent" in end.err
        assert len(end.err.splitlines()) == 1
    assert not Path("absent").exists()


@pytest.mark.parametrize("shared", ["plugins=[]", "--config-dir=mine"])
@pytest.mark.parametrize("verb", ["parts", "new", "schema", "store", "board"])
def test_plug_ins_and_folders_of_options_are_taken(verb: str, shared: str, call: Call):
    for folder in ("mine", "outputs"):
        Path(folder).mkdir()
    end = call([verb, *WORDS.get(verb, []), shared])
    assert end.code == 0
    key = shared.partition("=")[0]
    notes = [f"note: this command does not need {key}, and ignores it"] if verb == "new" else []
    assert end.err.splitlines() == notes


@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c_ends_a_verb_with_130(verb: str, call: Call, monkeypatch: pytest.MonkeyPatch):
    def interrupted(_: Sequence[str]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    module, _, function = command_main.VERBS[verb][0].partition(":")
    monkeypatch.setattr(importlib.import_module(module), function, interrupted)
    assert call([verb]) == Ending(130, "", "ablab: stopped\n")


@pytest.mark.parametrize("verb", ["store"])
def test_the_console_command_is_the_same(verb: str, tmp_path: Path):
    (tmp_path / "outputs").mkdir()
    commands = (["-c", "import ablab; ablab.main()"], ["-m", "runner"])
    ends = [
        subprocess.run(
            [sys.executable, *command, verb],
            cwd=tmp_path,
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for command in commands
    ]
    assert ends[0].returncode == ends[1].returncode == 0
    assert ends[0].stdout == ends[1].stdout == "outputs: there are no trials and no runs\n"
