"""What is timed has the machine to itself, whatever other studies of this user run on it.

Two locks in the machine's folder for temporary files. Who computes shares `machine`, who times has
it alone. Both first pass `gate`, which who times holds: so trials that compute already end in
peace, and no new one slips in before the timing.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def turn(
    *, timing: bool, on_wait: Callable[[], object], on_failure: Callable[[str], object]
) -> Iterator[None]:
    """Hold the machine, alone for `timing`; `on_wait` is called once if others must end first.

    Where nothing can be locked (no POSIX system, a folder for temporary files that cannot be
    written or whose filesystem has no locks) the trial runs all the same: `on_failure` hears why.
    """
    with contextlib.ExitStack() as held:
        try:
            gate, machine = (held.enter_context(_open(name)) for name in ("gate", "machine"))
            waited = _lock(gate, alone=timing, on_wait=on_wait)
            _lock(machine, alone=timing, on_wait=on_wait if not waited else lambda: None)
            if not timing:
                gate.close()
        except OSError as error:
            held.close()  # no lock is better than one of two
            on_failure(str(error))
        yield  # closing a file unlocks it, and so does the end of a process


def _open(name: str) -> IO[str]:
    user = os.getuid() if hasattr(os, "getuid") else 0
    return (Path(tempfile.gettempdir()) / f"ablab-{user}-{name}.lock").open("a", encoding="utf-8")


def _lock(file: IO[str], *, alone: bool, on_wait: Callable[[], object]) -> bool:
    """Lock a file; whether others had to be waited for. Raises OSError where there are no locks."""
    if fcntl is None:
        raise OSError("this system has no file locks")
    how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(file, how)
        return True
    return False
