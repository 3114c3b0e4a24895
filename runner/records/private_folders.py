"""Folders for locks and sockets that only this user can write to. No torch."""

import contextlib
import multiprocessing
import multiprocessing.util
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from runner.records import locks

OWNER_LOCK, PREFIX = "owner.lock", "pymp-"
_socket_folder_lock = contextlib.ExitStack()  # of this process's folder for sockets


def lock_folder() -> Path:
    """Return the user's folder for locks, and create it if it is missing.

    It is in XDG_RUNTIME_DIR, or in the folder for temporary files.

    Raises:
        OSError: no safe folder exists; the message says why.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if Path(runtime).is_absolute():
        with contextlib.suppress(OSError):
            return make_private_folder(Path(runtime) / "ablab")
    return make_private_folder(user_folder_in(Path(tempfile.gettempdir())))


def user_folder_in(temporary: Path) -> Path:
    """Return the path of the user's own folder in a shared folder."""
    return temporary / f"ablab-{os.getuid() if hasattr(os, 'getuid') else 0}"


def make_private_folder(path: Path) -> Path:
    """Create a folder that only this user can use, if it is missing.

    Raises:
        OSError: the path belongs to another user, is a link or a file, or is open to other users.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(f"{path} is not a folder")
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to another user")
    if status.st_mode & 0o077:
        raise PermissionError(f"{path} is open to others; run chmod 700 on it")
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} cannot be written")
    return path


def prepare_socket_folder() -> None:
    """Choose the folder for multiprocessing's sockets, once in each process.

    Another folder is used where the folder for temporary files
    - is missing,
    - has a path that is too long for a socket (about 100 characters), or
    - is on a filesystem without sockets.
    Folders that killed processes have left are removed.
    """
    if multiprocessing.current_process()._config.get("tempdir"):  # type: ignore[attr-defined]
        return
    for candidate in candidate_socket_folders():
        if supports_sockets(candidate):
            remove_abandoned_folders(candidate)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=candidate))
            multiprocessing.current_process()._config["tempdir"] = str(folder)  # type: ignore[attr-defined]
            # multiprocessing's own finalizer raises an error if the folder was removed before.
            multiprocessing.util.Finalize(
                None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=-100
            )
            with contextlib.suppress(OSError):
                descriptor = _socket_folder_lock.enter_context(
                    locks.open_lock_file(folder / OWNER_LOCK)
                )
                locks.lock(descriptor, exclusive=True, on_wait=lambda: None)
            return


def is_socket_folder_lost() -> bool:
    """Whether the folder of multiprocessing's sockets was deleted."""
    path = multiprocessing.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    return bool(path) and not Path(path).is_dir()


def forget_socket_folder() -> None:
    """Let `prepare_socket_folder` create another folder."""
    multiprocessing.current_process()._config["tempdir"] = None  # type: ignore[attr-defined]
    _socket_folder_lock.close()


def candidate_socket_folders() -> Iterator[Path]:
    """Yield folders for sockets, the best first: private folders, then their shared parents.

    XDG_RUNTIME_DIR is not used: it is deleted when the user logs out, while a study keeps running.
    """
    shared = [Path(name) for name in ("/tmp", "/var/tmp", "/dev/shm")]
    with contextlib.suppress(OSError):
        shared.insert(0, Path(tempfile.gettempdir()))
    for path in shared:
        with contextlib.suppress(OSError):
            yield make_private_folder(user_folder_in(path))
    yield from shared


def supports_sockets(path: Path) -> bool:
    """Whether a socket can be created in a new subfolder; it is tried out."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix="try-", dir=path) as folder,
            socket.socket(socket.AF_UNIX) as tried,
        ):
            tried.bind(f"{folder}/as-long-as-listener")
    except OSError:
        return False
    return True


def remove_abandoned_folders(own: Path) -> None:
    """Remove folders of killed processes from the user's own folder: their locks are free."""
    if not own.name.startswith("ablab-"):
        return
    for path in own.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < 60:  # its process may not have locked it yet
                continue
            if not (path / OWNER_LOCK).exists():
                path.rmdir()  # raises OSError unless it is empty
            elif locks.is_free(path / OWNER_LOCK, if_unknown=False):
                shutil.rmtree(path)
