"""Ctrl-C and SIGTERM: the first ends a command in good order, the next one at once. No torch.

Python tells of a signal by raising KeyboardInterrupt wherever it happens to be. In a destructor, or
within an `except` that catches too much, it is lost. So signals are counted too: code that waits
calls `raise_if_interrupted`, and so does `main` before it ends.

One wish may arrive as two signals: `timeout 60 python -m runner ...` sends SIGTERM to the command
and then to its process group, and so do launchers that pass Ctrl-C on. A signal within `SAME_SIGNAL_SECONDS`
seconds of the first counts as the same one.

A shell script starts what it puts into the background (`command &`) with Ctrl-C ignored, and Python
then hears nothing of `kill -INT`. `listen` hears it in any case.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SAME_SIGNAL_SECONDS = 0.5


class ReceivedSignals:
    """How many signals this process has heard since it listens, and when the first of them came."""

    count = 0
    first_time = 0.0


def listen() -> None:
    """Hear SIGINT and SIGTERM from now on. A terminal that closes (SIGHUP) ends nothing."""
    ReceivedSignals.count = 0
    for number in SIGNALS:
        signal.signal(number, _hear)
    if hasattr(signal, "SIGHUP"):  # processes that are started inherit it
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if a signal was heard, wherever the first one got lost."""
    if ReceivedSignals.count:
        raise KeyboardInterrupt


def stop_listening() -> None:
    """Let no signal disturb the end of this process."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def defer_interrupts() -> Iterator[Callable[[], bool]]:
    """Let no signal interrupt what is within; yield what says whether one has come meanwhile.

    It is raised at the end. Works in the main thread, which alone hears signals.
    """
    came: list[int] = []

    def keep(number: int, _: object) -> None:
        if not is_repeated():
            came.append(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            before[number] = signal.signal(number, keep)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if _hear in before.values():
            ReceivedSignals.count += len(came)
        if came:
            raise KeyboardInterrupt


def is_repeated() -> bool:
    """Whether a signal that comes now is the second half of the first one."""
    return (
        ReceivedSignals.count > 0
        and time.monotonic() - ReceivedSignals.first_time < SAME_SIGNAL_SECONDS
    )


def _hear(*_: object) -> None:
    if is_repeated():
        return
    if not ReceivedSignals.count:
        ReceivedSignals.first_time = time.monotonic()
    ReceivedSignals.count += 1
    raise KeyboardInterrupt
