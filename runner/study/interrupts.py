"""Ctrl-C and SIGTERM: the first one ends a command in order, the second one at once. No torch.

Python raises KeyboardInterrupt in any code that runs at that moment. A destructor loses it, and so
does an `except` that catches too much. So signals are counted too: code that waits calls
`raise_if_interrupted`, and so does `main` before it ends.

One request may arrive as two signals. `timeout 60 python -m runner ...` sends SIGTERM to the
command and then to its process group. Launchers that forward Ctrl-C do the same. A signal within
`SAME_SIGNAL_SECONDS` of the first counts as the same request.

A shell script starts a background command (`command &`) with SIGINT ignored, so Python installs no
handler for it. `listen` installs one in any case.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SAME_SIGNAL_SECONDS = 0.5


class ReceivedSignals:
    """The number of signals since `listen`, and the time of the first one (monotonic, seconds)."""

    count = 0
    first_time = 0.0


def listen() -> None:
    """Handle SIGINT and SIGTERM from now on, and ignore SIGHUP (a terminal that closes)."""
    ReceivedSignals.count = 0
    for number in SIGNALS:
        signal.signal(number, _on_signal)
    if hasattr(signal, "SIGHUP"):  # child processes inherit it
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if a signal was received, also if its exception was lost."""
    if ReceivedSignals.count:
        raise KeyboardInterrupt


def stop_listening() -> None:
    """Ignore signals from now on, so that none disturbs the end of this process."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def defer_interrupts() -> Iterator[Callable[[], bool]]:
    """Defer signals until the end of a `with` block, then raise KeyboardInterrupt if one came.

    Yields a function that returns whether a signal has come so far. Outside the main thread nothing
    is deferred: Python delivers signals to the main thread only.
    """
    received: list[int] = []

    def store(number: int, _: object) -> None:
        if not is_repeated():
            received.append(number)

    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            handlers[number] = signal.signal(number, store)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if _on_signal in handlers.values():
            ReceivedSignals.count += len(received)
        if received:
            raise KeyboardInterrupt


def is_repeated() -> bool:
    """Return whether a signal that comes now belongs to the same request as the first one."""
    return (
        ReceivedSignals.count > 0
        and time.monotonic() - ReceivedSignals.first_time < SAME_SIGNAL_SECONDS
    )


def _on_signal(*_: object) -> None:
    if is_repeated():
        return
    if not ReceivedSignals.count:
        ReceivedSignals.first_time = time.monotonic()
    ReceivedSignals.count += 1
    raise KeyboardInterrupt
