"""Folders for locks and sockets that only this user can write to. No torch."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path


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
