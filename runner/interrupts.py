"""Ctrl-C and SIGTERM: the first ends a command in good order, the next one at once. No torch.

Python tells of a signal by raising KeyboardInterrupt wherever it happens to be. In a destructor, or
within an `except` that catches too much, it is lost. So signals are counted too: who waits calls
`check`, and so does `main` before it ends.

A shell script starts what it puts into the background (`command &`) with Ctrl-C ignored, and Python
then hears nothing of `kill -INT`. `listen` hears it in any case.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Heard:
    """How many signals this process has heard since it listens."""

    count = 0


def listen() -> None:
    """Hear SIGINT and SIGTERM from now on. A terminal that closes (SIGHUP) ends nothing."""
    Heard.count = 0
    for number in SIGNALS:
        signal.signal(number, _hear)
    if hasattr(signal, "SIGHUP"):  # processes that are started inherit it
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def check() -> None:
    """Raise KeyboardInterrupt if a signal was heard, wherever the first one got lost."""
    if Heard.count:
        raise KeyboardInterrupt


def stop_listening() -> None:
    """Let no signal disturb the end of this process."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def held() -> Iterator[Callable[[], bool]]:
    """Let no signal interrupt what is within; yield what says whether one has come meanwhile.

    It is raised at the end. Works in the main thread, which alone hears signals.
    """
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            before[number] = signal.signal(number, lambda number, _: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if _hear in before.values():
            Heard.count += len(came)
        if came:
            raise KeyboardInterrupt


def _hear(*_: object) -> NoReturn:
    Heard.count += 1
    raise KeyboardInterrupt
