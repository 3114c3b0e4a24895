"""A cache in a JSON file in the user's private folder, which no other user can write to.

A missing or damaged file costs time only. The key of an entry must cover everything on which the
entry depends.
"""

import contextlib
from pathlib import Path
from typing import Any

from runner.records import private_folders
from runner.records.files import read_json, write_json

MAX_ENTRIES = 4000  # the project has 300 files


class PrivateCache:
    """The entries of one file of the cache by key; each is a JSON value.

    file_name    the name of the file in the private folder
    """

    def __init__(self, file_name: str) -> None:
        self._file_name = file_name
        self._entries: dict[str, Any] | None = None
        self._used: set[str] = set()
        self._has_new = False

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

        Of too many entries, only the used ones stay.
        """
        if not self._has_new:
            return
        self._has_new = False
        entries = self._read()
        if len(entries) > MAX_ENTRIES:
            entries = {key: entry for key, entry in entries.items() if key in self._used}
        with contextlib.suppress(OSError):
            write_json(cache_path(self._file_name), entries)

    def _read(self) -> dict[str, Any]:
        if self._entries is None:
            self._entries = {}
            with contextlib.suppress(OSError):
                content = read_json(cache_path(self._file_name))
                self._entries = content if isinstance(content, dict) else {}
        return self._entries


def cache_path(file_name: str) -> Path:
    """Return the path of a file of the cache. Raises OSError without a private folder."""
    return private_folders.lock_folder() / file_name
