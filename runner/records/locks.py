"""File locks (flock) of a process, which its forked processes do not keep. No torch.

A lock belongs to an open file, and a forked process shares that file. A data loader's worker that
outlives its trial would hold the trial's lock for ever. So a forked process closes its copies at
once.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system
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
    """Open a lock file that only its owner may read; create it if it is missing.

    Closing the file releases its lock, and so does the end of the process.

    Raises:
        OSError: the file cannot be opened, or is a symbolic link.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags, 0o600)
    open_descriptors, close = _OPEN, os.close  # Python's exit may delete a module's names
    open_descriptors.add(descriptor)
    try:
        yield descriptor
    finally:
        if descriptor in open_descriptors:  # a forked process has closed its copy
            open_descriptors.discard(descriptor)
            close(descriptor)


def lock(descriptor: int, *, exclusive: bool, on_wait: Callable[[], object]) -> bool:
    """Lock an open file, `exclusive` or shared; return whether another process held the lock.

    If so, `on_wait` is called and the lock is waited for.

    Raises:
        OSError: the system or the disk has no file locks.
    """
    if fcntl is None:
        raise OSError("this system has no file locks")
    operation = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(descriptor, operation)
        return True
    return False


def share_if_free(descriptor: int) -> bool:
    """Take a shared lock of an open file if no process holds it exclusively; return whether.

    Raises:
        OSError: the system or the disk has no file locks.
    """
    if fcntl is None:
        raise OSError("this system has no file locks")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_free(path: Path, *, if_unknown: bool = True) -> bool:
    """Whether no process holds a lock file; return `if_unknown` where that cannot be checked.

    A missing file is not created.
    """
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
    except OSError:  # the disk has no locks
        return if_unknown
    finally:
        os.close(descriptor)
    return True
