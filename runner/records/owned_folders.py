"""Temporary folders that their processes hold by a lock, so that others can remove them. No torch.

A killed process leaves its folder behind. A later process finds its lock free and removes it.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from runner.records import locks

OWNER_LOCK = "owner.lock"
LOCKED_SECONDS = 60.0  # a new folder is locked after this time


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder in the `with` block; a disk may have no locks."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            descriptor = stack.enter_context(locks.open_lock_file(folder / OWNER_LOCK))
            locks.lock(descriptor, exclusive=True, on_wait=lambda: None)
        yield


@contextlib.contextmanager
def make_temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder that is removed at the end; first remove those of killed processes.

    The folder also has a file, its lock.
    """
    remove_abandoned_folders(parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        with hold_folder(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned_folders(parent: Path, prefix: str) -> None:
    """Remove folders of killed processes from the user's own folder: their locks are free."""
    if not parent.name.startswith("ablab-"):
        return
    for path in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < LOCKED_SECONDS:
                continue
            if not (path / OWNER_LOCK).exists():
                path.rmdir()  # raises OSError unless it is empty
            elif locks.is_free(path / OWNER_LOCK, if_unknown=False):
                shutil.rmtree(path)
