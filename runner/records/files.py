"""Reading and writing small files: whole or not at all, readable by others, and never trusted.

No torch.
"""

import contextlib
import errno
import json
import math
import os
import shutil
import stat
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runner.config import ConfigError
from runner.wording.output import truncate_middle

MOST = 64 * 2**20
"""Bytes of the largest file that is read as one record."""

_OF_THE_FILE = {
    *(None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL),
    *(errno.EFBIG, errno.EACCES, errno.EPERM),
}


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; a number that is not finite becomes null."""
    text = json.dumps(replace_non_finite(value), indent=1, sort_keys=True, allow_nan=False)
    write_atomically(path, text.encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, fsync, rename.

    Others may read it as far as the umask lets them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    # Not `tempfile.mkstemp`, whose files only their owner may read.
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def replace_non_finite(value: Any) -> Any:
    """The same value with null for each number that is not finite: JSON has no word for these."""
    if isinstance(value, dict):
        return {key: replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_bytes(path: Path | str, most: int = MOST) -> bytes:
    """The content of a regular file of at most so many bytes.

    Raises:
        OSError: it is missing, unreadable, too large, or no regular file. A pipe or a device in its
            place, which could be read for ever, is not waited for.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:  # noqa: PTH123 (it is a handle)
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if found.st_size > most:
            what = f"it has {found.st_size:,} bytes; at most {most:,} are read"
            raise OSError(errno.EFBIG, what, str(path))
        return file.read(most + 1)


def is_transient(error: OSError) -> bool:
    """Whether an error may not come again: too few file handles, no memory, a disk that is away.

    All others say that the file is missing, is none, or may not be read.
    """
    return error.errno not in _OF_THE_FILE


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a record; None where there is none, or it is damaged."""
    try:
        record = json.loads(read_bytes(path))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record else None


def list_names(folder: Path) -> list[str]:
    """What lies in a folder, sorted; nothing where there is none that can be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except OSError:
        return []


def is_folder(path: Path) -> bool:
    """Whether a folder is there; no symlink that leads nowhere or in a circle is one."""
    return os.path.isdir(path)  # noqa: PTH112 (`Path.is_dir` raises for some of them)


def refuse_links(paths: Iterable[Path]) -> None:
    """Raise ConfigError for a link to a folder: what is written there would land elsewhere."""
    for path in paths:
        if path.is_symlink() and is_folder(path):
            raise ConfigError(
                f"{truncate_middle(path, 120)} is a link, and what is written there would lie elsewhere; "
                "put a folder in its place, or name that folder with outputs="
            )


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there.

    What may not be removed (a folder of another user) is renamed, so that its name is free.
    """
    try:
        if is_folder(path) and not os.path.islink(path):  # noqa: PTH114
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            path.rename(path.with_name(f".damaged-{path.name}-{uuid.uuid4().hex[:8]}"))


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Put a file into a second place without copying it, where the disk can do so."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def is_accessible(path: Path, *, folder: bool) -> bool:
    """Whether a file (or a folder) lies there, and can be read and written."""
    wanted = is_folder(path) if folder else os.path.isfile(path)  # noqa: PTH113
    return wanted and os.access(path, os.R_OK | os.W_OK | (os.X_OK if folder else 0))
