"""The use of an experiment's trials by commands, so that no trial of a running study is deleted.

A study holds a shared lock on `<outputs>/<experiment>/trials/.in-use` from its first trial until
its report is written. Its trials are safe meanwhile, although no run refers to them yet. A command
that deletes trials needs the lock for itself.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import AcquireReturnProxy, BaseFileLock, Timeout

from runner.records import locks
from runner.records.checkpoint_files import raise_blocked
from runner.records.files import is_folder, list_names
from runner.records.store import Store

USE_LOCK = ".in-use"
IN_USE = "a running command may use them"
WAIT_NOTICE_SECONDS = 1  # seconds of waiting for another command before a line says so


@contextlib.contextmanager
def use_trials(outputs: Path, experiment: str) -> Iterator[None]:
    """Keep other commands from deleting the trials of an experiment during a `with` block.

    The block runs without a lock where the store cannot be written, or where its disk has no locks.
    If the block computes nothing in a new store, no folder remains of it.
    """
    folder = Store.trials_folder(outputs, experiment)
    new_folders = [path for path in (folder, *folder.parents) if not is_folder(path)]
    with contextlib.ExitStack() as stack:
        if new_folders:
            stack.callback(remove_unused_folders, new_folders)
        with contextlib.suppress(OSError):
            stack.enter_context(share_lock(folder))
        yield


@contextlib.contextmanager
def share_lock(folder: Path) -> Iterator[None]:
    """Hold a shared lock on the lock file of a folder of trials; create both if necessary.

    Another command may remove the file between its opening and its lock. Then a new file is locked.

    Raises:
        OSError: the folder cannot be written, or the disk has no locks.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                descriptor = stack.enter_context(locks.open_lock_file(folder / USE_LOCK))
            except FileNotFoundError:  # another command has just removed the folder
                continue
            locks.lock(descriptor, exclusive=False, on_wait=lambda: None)
            if os.fstat(descriptor).st_nlink:
                yield
                return


def remove_unused_folders(folders: Sequence[Path]) -> None:
    """Remove the folder of the lock, which comes first, and its parents, if they hold no more.

    All stay while another command holds the lock.
    """
    if list_names(folders[0]) != [USE_LOCK]:
        return
    with (
        contextlib.suppress(OSError),
        locks.open_lock_file(folders[0] / USE_LOCK) as descriptor,
    ):
        locks.lock(descriptor, exclusive=True, on_wait=raise_blocked)
        (folders[0] / USE_LOCK).unlink()
        for folder in folders:
            folder.rmdir()


@contextlib.contextmanager
def reserve_trials(outputs: Path, experiment: str) -> Iterator[str]:
    """Reserve the trials of an experiment; yield "", or why they cannot be reserved."""
    folder = Store.trials_folder(outputs, experiment)
    with contextlib.ExitStack() as stack:
        reason = ""
        try:
            descriptor = stack.enter_context(locks.open_lock_file(folder / USE_LOCK))
            locks.lock(descriptor, exclusive=True, on_wait=raise_blocked)
        except BlockingIOError:
            reason = IN_USE
        except OSError as error:
            reason = f"they cannot be locked ({error.strerror or error})"
        yield reason


def is_in_use(outputs: Path, experiment: str) -> bool:
    """Return whether a command uses the trials of an experiment now."""
    return not locks.is_free(Store.trials_folder(outputs, experiment) / USE_LOCK)


def acquire_with_notice(lock: BaseFileLock) -> AcquireReturnProxy:
    """Acquire a lock; after `WAIT_NOTICE_SECONDS` print a line that names it."""
    try:
        return lock.acquire(timeout=WAIT_NOTICE_SECONDS)
    except Timeout:
        print(f"waiting: another command uses {lock.lock_file}", flush=True)  # noqa: T201
    return lock.acquire()
