"""Folders for locks and sockets that nobody but this user can write to. No torch."""

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
_kept = contextlib.ExitStack()  # the lock of this process's folder for sockets


def lock_folder() -> Path:
    """The user's folder for locks: below XDG_RUNTIME_DIR, else in that for temporary files.

    Raises:
        OSError: there is none that is safe; the message says why.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if Path(runtime).is_absolute():
        with contextlib.suppress(OSError):
            return make_private_folder(Path(runtime) / "ablab")
    return make_private_folder(user_folder_in(Path(tempfile.gettempdir())))


def user_folder_in(temporary: Path) -> Path:
    """The name of the user's own folder in a folder that others may use too."""
    return temporary / f"ablab-{os.getuid() if hasattr(os, 'getuid') else 0}"


def make_private_folder(path: Path) -> Path:
    """Make a folder that only this user can use, if it is not there.

    Raises:
        OSError: what is there is another user's, a link, or open to others.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{path} is not a folder")
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to another user")
    if found.st_mode & 0o077:
        raise PermissionError(f"{path} is open to others (chmod 700 mends it)")
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} cannot be written")
    return path


def prepare_socket_folder() -> None:
    """Let multiprocessing put its socket where there can be one, once a process.

    The folder for temporary files may be missing, have a path too long for a socket (about 100
    letters), or a filesystem without sockets; then another one is taken. What processes that were
    killed have left is removed.
    """
    if multiprocessing.current_process()._config.get("tempdir"):  # type: ignore[attr-defined]
        return
    for candidate in candidate_socket_folders():
        if supports_sockets(candidate):
            remove_abandoned_folders(candidate)
            made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=candidate))
            multiprocessing.current_process()._config["tempdir"] = str(made)  # type: ignore[attr-defined]
            # Its own finalizer raises an error where somebody else has removed the folder.
            multiprocessing.util.Finalize(
                None, shutil.rmtree, (made,), {"ignore_errors": True}, exitpriority=-100
            )
            with contextlib.suppress(OSError):
                descriptor = _kept.enter_context(locks.open_lock_file(made / OWNER_LOCK))
                locks.lock(descriptor, exclusive=True, on_wait=lambda: None)
            return


def is_socket_folder_lost() -> bool:
    """Whether the folder that multiprocessing uses for its socket is gone."""
    path = multiprocessing.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    return bool(path) and not Path(path).is_dir()


def forget_socket_folder() -> None:
    """Let `prepare_socket_folder` make another folder."""
    multiprocessing.current_process()._config["tempdir"] = None  # type: ignore[attr-defined]
    _kept.close()


def candidate_socket_folders() -> Iterator[Path]:
    """Folders for sockets, the best first: own ones, then the shared ones that they are in.

    Not XDG_RUNTIME_DIR, which goes when its user logs out; a study goes on.
    """
    shared = [Path(name) for name in ("/tmp", "/var/tmp", "/dev/shm")]
    with contextlib.suppress(OSError):
        shared.insert(0, Path(tempfile.gettempdir()))
    for path in shared:
        with contextlib.suppress(OSError):
            yield make_private_folder(user_folder_in(path))
    yield from shared


def supports_sockets(path: Path) -> bool:
    """Whether a socket can be made in a new folder there, by trying."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix="try-", dir=path) as made,
            socket.socket(socket.AF_UNIX) as tried,
        ):
            tried.bind(f"{made}/as-long-as-listener")
    except OSError:
        return False
    return True


def remove_abandoned_folders(own: Path) -> None:
    """Remove what killed processes have left in the user's own folder: nobody holds its lock."""
    if not own.name.startswith("ablab-"):
        return
    for path in own.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < 60:  # perhaps not locked yet
                continue
            if not (path / OWNER_LOCK).exists():
                path.rmdir()  # if it is empty
            elif locks.is_free(path / OWNER_LOCK, if_unknown=False):
                shutil.rmtree(path)
