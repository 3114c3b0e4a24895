"""A read-only folder, also for root, who ignores permissions."""

import errno
import os
import sys
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
_closed: dict[str, list[str]] = {}  # folder -> folders within that stay open


def forbid_writes(folder: Path, *but: Path) -> None:
    """Make writing below `folder` raise OSError, except below the folders `but`."""
    if not _closed:
        # A hook cannot be removed; it does nothing when no folder is closed.
        sys.addaudithook(_refuse)
    _closed[str(folder)] = [str(path) for path in but]


def allow_writes() -> None:
    """Allow all writing again."""
    for folder in _closed:
        _closed[folder] = ["/"]


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    writes = event == "open" and isinstance(args[2], int) and args[2] & WRITING
    if not writes and event not in CHANGES:
        return
    for path in args[:2] if event in ("os.rename", "os.link") else args[:1]:
        if not isinstance(path, str | bytes | os.PathLike):
            continue
        place = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        for folder, but in _closed.items():
            if place.startswith(folder) and not any(place.startswith(path) for path in but):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), place)
