"""A cache of the syntax of source files, so that most commands parse no module for the code hash.

It is a file in the user's private folder, which no other user can write to. An entry belongs to the
content of a source file, to the code that reads it, and to the version of Python. So an entry is
never stale, and a missing or damaged file costs time only.
"""

import hashlib
import sys
from pathlib import Path

from runner.records.files import read_bytes
from runner.records.private_cache import PrivateCache, cache_path

FILE_NAME = "syntax.json"


class SyntaxCache(PrivateCache):
    """The cached entries of one version of the reader, by key; each is a JSON value.

    reader    the source file of the code that reads sources
    settings  anything else that changes its results
    """

    def __init__(self, reader: Path, settings: object) -> None:
        super().__init__(FILE_NAME)
        version = f"{sys.version_info}\0{settings}\0".encode() + read_bytes(reader)
        self._version = hashlib.sha256(version).hexdigest()

    def key(self, content: bytes, package: str) -> str:
        """Return the key of a source file, given its content and the package that it belongs to."""
        return hashlib.sha256(f"{self._version}\0{package}\0".encode() + content).hexdigest()


def _path() -> Path:
    """Return the file of the cache. Raises OSError without a private folder."""
    return cache_path(FILE_NAME)
