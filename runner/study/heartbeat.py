"""Print a line after some seconds without one, so that a log shows that the command is alive."""

import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType

from runner.study import interrupts

SECONDS = 9.5  # without a line; with the time between two checks it stays below 10
CHECK_SECONDS = 0.25


class Heartbeat:
    """A thread that prints a line after `seconds` without one, as a context manager.

    Args:
        describe: returns the line.
        print_line: prints it; by default `print`.
        seconds: the seconds without a line.
        first: the seconds until the first line; by default as many.
    """

    def __init__(
        self,
        describe: Callable[[], str],
        print_line: Callable[[str], None] | None = None,
        seconds: float | None = None,
        first: float | None = None,
    ) -> None:
        self._describe, self._print = describe, print_line or _print
        self._seconds = SECONDS if seconds is None else seconds
        self._head_start = 0.0 if first is None else self._seconds - first
        self._stop = threading.Event()
        self._last_time = time.monotonic()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Heartbeat":
        # The thread inherits a blocked mask: signals are for the main thread only.
        can_block = hasattr(signal, "pthread_sigmask")
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _signals()) if can_block else None
        try:
            self._last_time = time.monotonic() - self._head_start
            self._thread.start()
        finally:
            if before is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(2)

    def touch(self) -> None:
        """Note that a line was printed now."""
        self._last_time = time.monotonic()

    def _beat(self) -> None:
        while not self._stop.wait(min(CHECK_SECONDS, self._seconds)):
            if time.monotonic() - self._last_time >= self._seconds:
                self.touch()
                self._print(self._describe())


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _signals() -> set[signal.Signals]:
    return set(interrupts.SIGNALS)
