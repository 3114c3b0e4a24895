"""What the command prints: streams that cannot end a study, and texts of bounded length. No torch.

`main` calls `protect_streams` once. After that `print`, rich and warnings may write whatever they
like wherever it goes: a reader that has gone (`| head -1`), a terminal that was closed, and letters
that an encoding lacks raise no error.
"""

import contextlib
import os
import select
import sys
from collections.abc import Sequence
from typing import Any, TextIO

MAX_CHARACTERS, MAX_LINES, MAX_ERRORS = 300, 3, 5
"""How long one error may be, in letters and lines, and how many errors are shown at once."""


PIECE = 500  # letters whose bytes fit into the empty buffer of a stream, escapes included


class SafeStream:
    """A text stream whose `write` and `flush` never raise; all else is the stream's own.

    Where a pipe is full and does not block, a write waits for its reader. Once nobody reads any
    more, the file descriptor leads to `/dev/null`, so that Python's last flush raises nothing.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text; its length, whether or not anyone reads it."""
        try:
            if self._blocks():
                self._put(text)
            else:  # Python loses what a buffer cannot hold: give it no more than that
                for start in range(0, len(text), PIECE):
                    self._flush()
                    self._put(text[start : start + PIECE])
                self._flush()
        except (OSError, ValueError):
            self._abandon()
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Bring to the reader what was written, if there still is one."""
        try:
            self._flush()
        except (OSError, ValueError):
            self._abandon()

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:  # a stream that we could not set to write escapes
            coding = self._stream.encoding or "ascii"
            self._stream.write(text.encode(coding, "backslashreplace").decode(coding))

    def _flush(self) -> None:
        while True:
            try:
                return self._stream.flush()
            except BlockingIOError:  # what is left stays in the buffer
                select.select([], [self._stream.fileno()], [], 1.0)

    def _blocks(self) -> bool:
        """Whether a write to a full pipe waits for its reader."""
        try:
            return os.get_blocking(self._stream.fileno())
        except (OSError, ValueError, AttributeError):  # it is no file
            return True

    def _abandon(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def protect_streams() -> None:
    """Let nothing that is printed from now on raise an error."""
    open_closed_streams()
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:  # it was closed
            with contextlib.suppress(OSError):
                stream = os.fdopen(descriptor, "w", closefd=False)
        if stream is None or isinstance(stream, SafeStream):  # pythonw has no streams
            continue
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, SafeStream(stream))


def open_closed_streams() -> None:
    """Let what is closed of standard input, output and error (`>&-`) lead to nothing.

    A file that is opened later would else get its number, and with it what is printed.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number


def escape_unprintable(text: str) -> str:
    """Text that every reader and every file in UTF-8 takes.

    Lone surrogates (names of files that are no UTF-8) and control characters, line ends aside, are
    written as escapes.
    """
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text
    )


def truncate_middle(text: object, letters: int = MAX_CHARACTERS) -> str:
    """Text of at most so many letters: the start and the end of what is longer."""
    whole = escape_unprintable(str(text))
    if len(whole) <= letters:
        return whole
    end = (letters - 5) // 4
    return f"{whole[: letters - 5 - end]} ... {whole[len(whole) - end :]}"


def describe_error(error: BaseException) -> str:
    """The kind and the first line of an error, whatever it holds."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:
        lines = []
    kind = type(error).__name__
    return truncate_middle(f"{kind}: {lines[0]}" if lines else kind)


def join_names(names: Sequence[object], most: int = MAX_ERRORS) -> str:
    """The first names of a list, and how many more there are: `a, b, c and 7 more`."""
    shown = ", ".join(map(str, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def first_lines(lines: Sequence[str], most: int = MAX_ERRORS) -> list[str]:
    """The first of many lines that say the like, and one that counts the rest."""
    rest = len(lines) - most
    return [*lines[:most], f"... and {rest} more of this kind"] if rest > 0 else [*lines]
