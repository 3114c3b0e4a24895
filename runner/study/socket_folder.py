"""The folder for multiprocessing's sockets, which only this user can write to. No torch."""

import contextlib
import multiprocessing
import multiprocessing.util
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runner.records import owned_folders, private_folders

PREFIX = "pymp-"
_socket_folder_lock = contextlib.ExitStack()  # of this process's folder for sockets


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
            owned_folders.remove_abandoned_folders(candidate, PREFIX)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=candidate))
            multiprocessing.current_process()._config["tempdir"] = str(folder)  # type: ignore[attr-defined]
            # multiprocessing's own finalizer raises an error if the folder was removed before.
            multiprocessing.util.Finalize(
                None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=-100
            )
            _socket_folder_lock.enter_context(owned_folders.hold_folder(folder))
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
            yield private_folders.make_private_folder(private_folders.user_folder_in(path))
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
