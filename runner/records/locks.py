"""File locks (flock) of a process, which the processes that it forks do not keep. No torch.

A lock belongs to an open file, and a forked process shares it: a data loader's worker that outlives
its trial would hold the trial's lock for ever. So a forked process closes its copies at once.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]

_OPEN: set[int] = set()  # file descriptors of the locks of this process


def _close_copies() -> None:
    for descriptor in _OPEN:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _OPEN.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_copies)


@contextlib.contextmanager
def open_lock_file(path: Path) -> Iterator[int]:
    """Open a lock file, which is made if need be and readable by its owner alone.

    Closing it unlocks it, and so does the end of the process. Raises OSError; a symbolic link is
    not followed.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags, 0o600)
    held, close = _OPEN, os.close  # names of a module may be gone when Python ends
    held.add(descriptor)
    try:
        yield descriptor
    finally:
        if descriptor in held:  # else this is a forked process, which has closed its copy
            held.discard(descriptor)
            close(descriptor)


def lock(descriptor: int, *, exclusive: bool, on_wait: Callable[[], object]) -> bool:
    """Lock an open file, `exclusive` or shared; whether others had to be waited for.

    Raises OSError where there are no locks.
    """
    if fcntl is None:
        raise OSError("this system has no file locks")
    how = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(descriptor, how)
        return True
    return False


def is_free(path: Path, *, if_unknown: bool = True) -> bool:
    """Whether nobody holds a lock file; `if_unknown` where that cannot be told. Nothing is made."""
    if fcntl is None:
        return if_unknown
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return if_unknown
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # nothing can be locked there
        return if_unknown
    finally:
        os.close(descriptor)
    return True
