"""Printed output: streams that cannot stop a study, and texts of bounded length. No torch.

`main` calls `protect_streams` once. From then on `print`, rich and warnings raise no error where
- the reader has exited (`| head -1`),
- the terminal was closed, or
- the encoding cannot write a character.
"""

import contextlib
import os
import select
import sys
from collections.abc import Sequence
from typing import Any, TextIO

MAX_CHARACTERS, MAX_LINES, MAX_ERRORS = 300, 3, 5
"""Limits of one error message in characters and lines, and of errors that are printed at once."""


PIECE = 500  # characters whose bytes, also as escapes, fit into the empty buffer of a stream


class SafeStream:
    """A text stream whose `write` and `flush` never raise; other attributes are the stream's own.

    A write to a full, non-blocking pipe waits for the reader. If the reader has exited, the file
    descriptor is redirected to `/dev/null`, so that Python's last flush raises nothing.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, and return its length, also if the reader has exited."""
        try:
            if self._blocks():
                self._put(text)
            else:  # Python loses text that its buffer cannot hold: write short pieces
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
        """Send the written text to the reader, if it has not exited."""
        try:
            self._flush()
        except (OSError, ValueError):
            self._abandon()

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:  # `protect_streams` could not set this stream to escapes
            coding = self._stream.encoding or "ascii"
            self._stream.write(text.encode(coding, "backslashreplace").decode(coding))

    def _flush(self) -> None:
        while True:
            try:
                return self._stream.flush()
            except BlockingIOError:  # the buffer keeps the rest: wait for the reader
                select.select([], [self._stream.fileno()], [], 1.0)

    def _blocks(self) -> bool:
        """Whether a write to a full pipe waits for its reader."""
        try:
            return os.get_blocking(self._stream.fileno())
        except (OSError, ValueError, AttributeError):  # it is not a file
            return True

    def _abandon(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            null_device = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null_device, self._stream.fileno())
            os.close(null_device)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def protect_streams() -> None:
    """Replace standard output and error by streams that raise no error."""
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
    """Redirect closed standard streams (`>&-`) to the null device.

    Otherwise a file that is opened later would get the number of the stream, and would
    receive the printed text.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number


def escape_unprintable(text: str) -> str:
    """Return text that every terminal and every UTF-8 file can hold.

    Lone surrogates (from file names that are not UTF-8) and control characters except line ends
    become escapes.
    """
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text
    )


def truncate_middle(text: object, max_characters: int = MAX_CHARACTERS) -> str:
    """Return text of at most `max_characters`; of longer text, the start and the end."""
    whole = escape_unprintable(str(text))
    if len(whole) <= max_characters:
        return whole
    end = (max_characters - 5) // 4
    return f"{whole[: max_characters - 5 - end]} ... {whole[len(whole) - end :]}"


def describe_error(error: BaseException) -> str:
    """Return the class of an error, and the first line of its text if it has a text."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:
        lines = []
    if isinstance(error, SystemExit):
        return f"SystemExit: the code called {describe_exit(error)}"
    kind = type(error).__name__
    return truncate_middle(f"{kind}: {lines[0]}" if lines else kind)


def describe_exit(error: SystemExit) -> str:
    """Return the call that raised SystemExit, with its message or exit code."""
    return f"sys.exit({truncate_middle(repr(error.code), 80)})" if error.code else "sys.exit"


def join_names(names: Sequence[object], most: int = MAX_ERRORS) -> str:
    """Return the first names of a list, and the number of the others: `a, b, c and 7 more`."""
    listed = ", ".join(map(str, names[:most]))
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed


def first_lines(lines: Sequence[str], most: int = MAX_ERRORS) -> list[str]:
    """Return the first of many similar lines, and a line with the number of the others."""
    rest = len(lines) - most
    return [*lines[:most], f"... and {rest} more of this kind"] if rest > 0 else [*lines]


def say(message: str) -> None:
    """Print a message to stderr, each line with the prefix `ablab:`."""
    print("\n".join(f"ablab: {line}" for line in message.splitlines()), file=sys.stderr)  # noqa: T201
