"""The one door for errors: no message can break the rules, whatever it says."""

from pathlib import Path

import pytest

from runner.config import ConfigError, StudyError
from runner.plan.error_messages import (
    PREFIX,
    ConfigErrors,
    as_config_error,
    explain,
    format_message,
)
from runner.wording.output import MAX_CHARACTERS, MAX_LINES
from tests.fuzz.command import find_message_faults


@pytest.mark.parametrize(
    "error",
    [
        ConfigError(""),
        ConfigError(" . \n"),
        ConfigError("x" * 100_000),
        ConfigError("line\n" * 500),
        ConfigError("name \ud800 \x1b[31m \0"),
        ConfigError("seed: Value 'a' of type 'str'\n    full_key: seed\n    object_type=dict"),
        TypeError("'NoneType' object is not subscriptable"),
        KeyError("x"),
        RecursionError("maximum recursion depth exceeded"),
        MemoryError(),
        OverflowError("int too large"),
        AttributeError("'int' object has no attribute 'get'"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        ZeroDivisionError(),
        AssertionError(),
        OSError(36, "File name too long", "x" * 5000),
        ValueError("Exceeds the limit (4300 digits) for integer string conversion"),
        ValueError("invalid literal for int() with base 10: 'a'"),
    ],
)
def test_every_error_of_planning_is_refused_in_a_clear_line(error: Exception):
    message, code = explain(error, planning=True)
    assert code == 2
    assert find_message_faults(message) == []
    lines = [PREFIX + line for line in message.splitlines()]
    assert len(lines) <= MAX_LINES
    assert len("\n".join(lines)) <= MAX_CHARACTERS


def test_of_many_errors_five_are_told_and_the_others_counted():
    message, code = explain(ConfigErrors([f"arm {i} is wrong" for i in range(12)]))
    assert code == 2
    assert message.splitlines() == [*(f"arm {i} is wrong" for i in range(5)), "and 7 more"]
    message, _ = explain(ConfigErrors(["x" * 9_000] * 5))
    assert all(len(line) <= MAX_CHARACTERS for line in message.splitlines())


def test_a_long_line_is_shortened_and_its_neighbours_stay_whole():
    path = "outputs/moe/trials/dense-0123456789abcdef/seed-0/log.txt"
    lines = format_message(
        f"1 of 2 trials failed: {'why ' * 1000}\nits log is {path}\nthe same command"
    ).splitlines()
    assert lines[1:] == [f"its log is {path}", "the same command"]
    assert " ... " in lines[0]


def test_trials_that_failed_are_exit_code_1():
    assert explain(StudyError("1 of 2 trials failed")) == ("1 of 2 trials failed", 1)
    assert explain(TypeError("x"))[1] == 1


@pytest.mark.parametrize(
    "error",
    [ValueError(), TypeError("x"), KeyError("x"), ValueError("KeyError: "), RuntimeError(" . ")],
)
@pytest.mark.parametrize("planning", [True, False])
def test_an_error_without_words_gets_some(error: Exception, *, planning: bool):
    message, code = explain(error, planning=planning)
    told = message.replace("HYDRA_FULL_ERROR=1 shows", "")
    assert ("a value has the wrong type" in told) if planning else ("an unexpected error" in told)
    assert (code, find_message_faults(message)) == (2 if planning else 1, [])


def test_paths_lose_the_current_folder_at_their_start_alone(tmp_path: Path, monkeypatch):
    here = tmp_path / "tmp"
    here.mkdir()
    monkeypatch.chdir(here)
    assert format_message(f"{here}/a.yaml: no, '{here}/b c' neither") == "a.yaml: no, 'b c' neither"
    for kept in (f"/var{here}/nothere", f"..{here}/x", f"{here}/", f"{here}2/x"):
        assert (
            format_message(f"--config-dir {kept} is no folder")
            == f"--config-dir {kept} is no folder"
        )
    monkeypatch.chdir("/")
    assert format_message("/tmp//x is no folder") == "/tmp//x is no folder"


def test_an_error_says_what_it_was_about():
    with (
        pytest.raises(ConfigError, match=r"^seed=3: it needs more memory"),
        as_config_error("seed=3"),
    ):
        raise MemoryError
    with pytest.raises(ConfigError, match=r"^its own$"), as_config_error("seed=3"):
        raise ConfigError("its own")
