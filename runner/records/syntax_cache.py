"""A cache of the syntax of source files, so that most commands parse no module for the code hash.

It is a file in the user's private folder, which no other user can write to. An entry belongs to the
content of a source file, to the code that reads it, and to the version of Python. So an entry is
never stale, and a missing or damaged file costs time only.
"""

import contextlib
import hashlib
import sys
from pathlib import Path
from typing import Any

from runner.records import private_folders
from runner.records.files import read_bytes, read_json, write_json

MAX_ENTRIES = 4000  # the project has 300 files


class SyntaxCache:
    """The cached entries of one version of the reader, by key; each is a JSON value.

    reader    the source file of the code that reads sources
    settings  anything else that changes its results
    """

    def __init__(self, reader: Path, settings: object) -> None:
        version = f"{sys.version_info}\0{settings}\0".encode() + read_bytes(reader)
        self._version = hashlib.sha256(version).hexdigest()
        self._entries: dict[str, Any] | None = None
        self._used: set[str] = set()
        self._has_new = False

    def key(self, content: bytes, package: str) -> str:
        """Return the key of a source file, given its content and the package that it belongs to."""
        return hashlib.sha256(f"{self._version}\0{package}\0".encode() + content).hexdigest()

    def get(self, key: str) -> Any:
        """Return an entry, or None."""
        self._used.add(key)
        return self._read().get(key)

    def add(self, key: str, entry: Any) -> None:
        """Add an entry; `save` writes it."""
        self._used.add(key)
        self._read()[key] = entry
        self._has_new = True

    def save(self) -> None:
        """Write the cache if it has new entries; without a private folder, do nothing.

        Of too many entries, those that this process has used stay.
        """
        if not self._has_new:
            return
        self._has_new = False
        entries = self._read()
        if len(entries) > MAX_ENTRIES:
            entries = {key: entry for key, entry in entries.items() if key in self._used}
        with contextlib.suppress(OSError):
            write_json(_path(), entries)

    def _read(self) -> dict[str, Any]:
        if self._entries is None:
            self._entries = {}
            with contextlib.suppress(OSError):
                self._entries = read_json(_path()) or {}
        return self._entries


def _path() -> Path:
    """Return the file of the cache. Raises OSError without a private folder."""
    return private_folders.lock_folder() / "syntax.json"
