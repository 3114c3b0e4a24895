"""Nothing that is printed can end a study; texts have a bounded length."""

import io
import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.wording import output
from tests.support.environment import child_environment


def test_a_reader_that_has_gone_raises_nothing_and_costs_no_exit_code():
    code = (
        "from runner.wording import output; output.protect_streams()\n"
        "for i in range(20000): print('line', i, flush=i % 7 == 0)\n"
        "open('done', 'w').close()"
    )
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-c", code.replace("'done'", "'/dev/null'")],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=child_environment(),
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (0, b"")


def test_a_full_pipe_that_does_not_block_is_waited_for():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream = os.fdopen(writing, "w", encoding="ascii", errors="backslashreplace")
    text = "".join(f"line {i} \U0001f600\n" for i in range(20_000))
    came: list[bytes] = []

    def read() -> None:
        time.sleep(0.2)  # until the pipe is full
        while piece := os.read(reading, 100_000):
            came.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    protected = output.SafeStream(stream)
    for line in text.splitlines(keepends=True)[:10_000]:
        protected.write(line)
    protected.write(text[text.index("line 10000 ") :])
    stream.close()
    reader.join()
    os.close(reading)
    assert b"".join(came).decode() == text.replace("\U0001f600", "\\U0001f600")


def test_a_letter_that_a_stream_cannot_take_does_not_end_it():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    protected = output.SafeStream(stream)
    for text in ("caf\u00e9", "\ud800", "end"):
        protected.write(text)
    protected.flush()
    assert stream.buffer.getvalue() == b"caf\\xe9\\ud800end"


@pytest.mark.parametrize("text", ["\ud800", "日本語", "caf\udce9", "\x00\x1b[2J"])
def test_letters_that_an_encoding_lacks_are_escaped(text):
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from runner.wording import output; output.protect_streams(); print({text!a})",
        ],
        capture_output=True,
        env={**child_environment(), "PYTHONIOENCODING": "ascii"},
    )
    assert process.returncode == 0
    assert process.stdout


def test_a_protected_stream_is_otherwise_the_stream_itself(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    output.protect_streams()
    output.protect_streams()  # a second time changes nothing
    sys.stdout.write("text\n")
    assert stream.getvalue() == "text\n"
    assert not sys.stdout.isatty()


@given(st.text(alphabet=st.characters(codec=None)), st.integers(10, 500))
def test_texts_are_printable_and_short(text, letters):
    short = output.truncate_middle(text, letters)
    assert len(short) <= letters
    short.encode("utf-8")
    assert all(letter.isprintable() or letter == "\n" for letter in short)


def test_what_is_cut_keeps_its_start_and_its_end():
    assert output.truncate_middle("a" * 1000 + "z").startswith("aaa")
    assert output.truncate_middle("a" * 1000 + "z").endswith("aaz")
    assert output.truncate_middle("short") == "short"


def test_long_lists_say_how_many_more():
    assert output.join_names(list("abcdefg"), 5) == "a, b, c, d, e and 2 more"
    assert output.join_names(["a"]) == "a"


class MuteError(Exception):
    """An error whose own text fails."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("one\ntwo"), "ValueError: one"),
        (ValueError("\n"), "ValueError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError("\ud800 \x1b[2J"), "ValueError: \\ud800 \\x1b[2J"),
        (MuteError(), "MuteError"),
    ],
)
def test_an_error_is_described_in_one_printable_line(error: BaseException, text: str):
    assert output.describe_error(error) == text


def test_a_long_error_is_shortened():
    assert len(output.describe_error(ValueError("x" * 100_000))) == output.MAX_CHARACTERS
