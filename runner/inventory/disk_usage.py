"""The size of folders on disk, and the entries in them that are links or not regular files."""

import os
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

BLOCK_BYTES = 512  # of `st_blocks`, on every system that has it


@dataclass
class DiskUsage:
    """The bytes that files and folders take on disk. A file with several names counts once.

    `links` are the entries that were not followed: links, pipes, sockets and devices.
    """

    links: list[str] = field(default_factory=list)
    _counted: set[tuple[int, int]] = field(default_factory=set)

    def measure(self, path: Path, without: Collection[Path] = ()) -> int:
        """Return the bytes of a file, or of a folder with its contents; 0 if it is missing.

        The paths `without` do not count.
        """
        try:
            status = os.lstat(path)
        except OSError:
            return 0
        return self._measure(os.fspath(path), status, {os.fspath(each) for each in without})

    def _measure(self, path: str, status: os.stat_result, without: Collection[str]) -> int:
        if not stat.S_ISDIR(status.st_mode):
            if not stat.S_ISREG(status.st_mode):
                self.links.append(path)
            return self._own_bytes(status)
        total = self._own_bytes(status)
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.path not in without:
                        status = entry.stat(follow_symlinks=False)
                        total += self._measure(entry.path, status, without)
        except OSError:  # it cannot be read, or another command has just deleted it
            return total
        return total

    def _own_bytes(self, status: os.stat_result) -> int:
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            key = (status.st_dev, status.st_ino)
            if key in self._counted:
                return 0
            self._counted.add(key)
        blocks = getattr(status, "st_blocks", None)  # Windows has none
        return status.st_size if blocks is None else blocks * BLOCK_BYTES


def measure_all(paths: Iterable[Path]) -> int:
    """Return the bytes of several files and folders."""
    usage = DiskUsage()
    return sum(map(usage.measure, paths))
