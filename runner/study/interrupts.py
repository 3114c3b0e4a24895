"""Ctrl-C, SIGTERM, SIGUSR2: the first ends a command in order, the second at once. No torch.

Python raises KeyboardInterrupt in any code that runs at that moment. A destructor loses it, and so
does an `except` that catches too much. So signals are counted too: code that waits calls
`raise_if_interrupted`, and so does `main` before it ends.

One request may arrive as two signals. `timeout 60 python -m runner ...` sends SIGTERM to the
command and then to its process group. Launchers that forward Ctrl-C do the same. A signal within
`SAME_SIGNAL_SECONDS` of the first counts as the same request.

A cluster sends SIGTERM before it takes a machine away, and SIGUSR2 before a job's time limit. The
launcher of a job has handlers of its own, for example one that queues the job again. They are
called after the checkpoints are written (`listen_in_job`). There, later signals never end a job at
once: the cluster repeats them, and kills the job at its limit anyway.

A shell script starts a background command (`command &`) with SIGINT ignored, so Python installs no
handler for it. `listen` installs one in any case.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR2") if hasattr(signal, name)
)
SAME_SIGNAL_SECONDS = 0.5


class ReceivedSignals:
    """The signals since `listen`.

    Attributes:
        count: the number of requests to end.
        first_time: the time of the first one (monotonic, seconds).
        numbers: the signals, without repetitions.
        in_job: whether this process computes a job of a launcher.
    """

    count = 0
    first_time = 0.0
    numbers: ClassVar[set[int]] = set()
    in_job = False


def listen() -> None:
    """Handle `SIGNALS` from now on, and ignore SIGHUP (a terminal that closes)."""
    ReceivedSignals.count = 0
    ReceivedSignals.numbers.clear()
    for number in SIGNALS:
        signal.signal(number, _on_signal)
    if hasattr(signal, "SIGHUP"):  # child processes inherit it
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if a signal was received, also if its exception was lost."""
    if ReceivedSignals.count:
        raise KeyboardInterrupt


def stop_listening() -> None:
    """Ignore signals from now on, so that neither they nor earlier ones change the exit code.

    If KeyboardInterrupt leaves code that Python compiled from text, as it does for dataclasses,
    Python remembers it, and ends with SIGINT in place of the exit code, even if the exception is
    handled. It forgets it when it compiles and runs another text.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    exec("")


@contextlib.contextmanager
def defer_interrupts() -> Iterator[Callable[[], bool]]:
    """Defer signals until the end of a `with` block, then raise KeyboardInterrupt if one came.

    Yields a function that returns whether a signal has come so far. Outside the main thread nothing
    is deferred: Python delivers signals to the main thread only.
    """
    received: list[int] = []

    def store(number: int, _: object) -> None:
        ReceivedSignals.numbers.add(number)
        if not is_repeated():
            received.append(number)

    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            handlers[number] = signal.signal(number, store)
    try:
        yield lambda: bool(received)
    finally:
        _restore(handlers)
        if _on_signal in handlers.values():
            ReceivedSignals.count += len(received)
        if received:
            raise KeyboardInterrupt


def is_repeated() -> bool:
    """Return whether a signal that comes now belongs to the same request as the first one."""
    return ReceivedSignals.count > 0 and (
        ReceivedSignals.in_job
        or time.monotonic() - ReceivedSignals.first_time < SAME_SIGNAL_SECONDS
    )


@contextlib.contextmanager
def listen_in_job() -> Iterator[None]:
    """Listen to signals in a `with` block, in the process of a launcher's job.

    After a signal the block ends with KeyboardInterrupt, so that its trials have written their
    checkpoints. Then the launcher's handler of the signal is called. It may end the process, which
    lets the cluster start the job again. Outside the main thread nothing is done: Python delivers
    signals to the main thread only.

    Raises:
        KeyboardInterrupt: a signal came, and the launcher's handler has not ended the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _job_signals()}
    listen()
    ReceivedSignals.in_job = True
    try:
        yield
        raise_if_interrupted()
    except KeyboardInterrupt:
        received = sorted(ReceivedSignals.numbers, reverse=True)  # SIGTERM may precede SIGUSR2
        _restore(handlers)
        for number in received:
            handler = handlers[number]
            if callable(handler) and handler is not _on_signal:
                handler(number, None)
        raise
    finally:
        _restore(handlers)
        ReceivedSignals.in_job = False
        ReceivedSignals.count = 0


def _job_signals() -> tuple[int, ...]:
    """Return the signals whose handlers `listen` replaces."""
    return (*SIGNALS, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


def _restore(handlers: Mapping[int, Any]) -> None:
    """Install handlers again; None stands for a handler that Python does not know."""
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _on_signal(number: int, _: object) -> None:
    ReceivedSignals.numbers.add(number)
    if is_repeated():
        return
    if not ReceivedSignals.count:
        ReceivedSignals.first_time = time.monotonic()
    ReceivedSignals.count += 1
    raise KeyboardInterrupt
