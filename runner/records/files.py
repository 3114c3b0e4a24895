"""Read and write small files: writes are atomic, and reads check type and size. No torch."""

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

MAX_RECORD_BYTES = 64 * 2**20  # of a file that is read as one record

# Errors of the file itself, such as a missing file: a retry meets the same error.
_PERMANENT_ERRORS = {
    *(None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL),
    *(errno.EFBIG, errno.EACCES, errno.EPERM),
}


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; a number that is not finite becomes null."""
    text = json.dumps(replace_non_finite(value), indent=1, sort_keys=True, allow_nan=False)
    write_atomically(path, text.encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file in the same folder, fsync, rename.

    The umask decides which other users may read the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    # `tempfile.mkstemp` would make a file that only its owner may read.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace_non_finite(value: Any) -> Any:
    """Return the value with None for NaN and infinities, which JSON cannot hold."""
    if isinstance(value, dict):
        return {key: replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_bytes(path: Path | str, max_bytes: int = MAX_RECORD_BYTES) -> bytes:
    """Return the content of a regular file of at most `max_bytes` bytes.

    A pipe or a device raises an error at once, because reading it might never end.

    Raises:
        OSError: the file is missing, unreadable, too large, or not a regular file.
    """
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    with open(descriptor, "rb") as file:  # noqa: PTH123 (a file descriptor)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if status.st_size > max_bytes:
            message = f"it has {status.st_size:,} bytes; at most {max_bytes:,} are read"
            raise OSError(errno.EFBIG, message, str(path))
        return file.read(max_bytes + 1)


def is_transient(error: OSError) -> bool:
    """Whether a retry may succeed: too few file handles, no memory, an unavailable disk.

    Every other error says that the file is missing, not a regular file, or not readable.
    """
    return error.errno not in _PERMANENT_ERRORS


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a record; None where the file is missing or damaged."""
    try:
        return parse_json(read_bytes(path))
    except (OSError, ValueError):
        return None


def parse_json(content: bytes) -> dict[str, Any] | None:
    """Return the record in the content of a file; None where it is damaged."""
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record else None


def list_names(folder: Path) -> list[str]:
    """Return the sorted names of a folder's entries; [] where the folder cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except OSError:
        return []


def is_folder(path: Path) -> bool:
    """Whether a folder exists; False for a symlink that is broken or circular."""
    return os.path.isdir(path)  # noqa: PTH112 (`Path.is_dir` raises for some of them)


def refuse_links(paths: Iterable[Path]) -> None:
    """Raise ConfigError for a link to a folder: files would be written to another place."""
    for path in paths:
        if path.is_symlink() and is_folder(path):
            raise ConfigError(
                f"{truncate_middle(path, 120)} is a link, so files would be written "
                "to another place; replace it by a folder, or name its target with outputs="
            )


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it exists.

    A folder of another user, which cannot be removed, is renamed, so that its name is free.
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
    """Make a hard link to a file; copy the file where the disk has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def is_accessible(path: Path, *, folder: bool) -> bool:
    """Whether a file (or a folder) exists, and can be read and written."""
    has_type = is_folder(path) if folder else os.path.isfile(path)  # noqa: PTH113
    return has_type and os.access(path, os.R_OK | os.W_OK | (os.X_OK if folder else 0))
