"""The seal of a record: digests of its files and of itself, and what has changed since. No torch.

A sealed record holds `format` and `digests`: SHA-256 of each of its files, and under its own name
that of itself without this one entry, as canonical JSON (sorted keys, no spaces). Whoever edits a
file and its digest can fool it; whoever edits a file alone is found out.
"""

import functools
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.records.files import replace_non_finite
from runner.wording.output import truncate_middle

FORMAT = 2
"""The form of a trial's records; one without a number, or with another one, is not used."""

CHANGED = "was changed since it was computed"


def seal_record(
    record: Mapping[str, Any], own: str, folder: Path, files: Sequence[str]
) -> dict[str, Any]:
    """A record with its format and digests; `own` is its own file name, `files` lie in `folder`."""
    digests = {name: file_sha256(folder / name) for name in files}
    made = {**replace_non_finite(record), "format": FORMAT, "digests": digests}
    return {**made, "digests": {**digests, own: _canonical(made)}}


def current(record: Mapping[str, Any]) -> bool:
    """Whether a record has today's format."""
    return record.get("format") == FORMAT


def format_mismatch(record: Mapping[str, Any], own: str) -> str:
    """That a record has not today's format; "" if it has."""
    if current(record):
        return ""
    if "format" not in record:
        return f"{own} has no format, and not {FORMAT}"
    return f"{own} has format {truncate_middle(record['format'], 20)}, not {FORMAT}"


def first_change(record: Mapping[str, Any], own: str, folder: Path, files: Sequence[str]) -> str:
    """What does not agree with the seal, naming the first file; "" if all is well.

    `files` are those that lie in the folder now.
    """
    return next(_faults(record, own, folder, files), "")


def list_changes(
    record: Mapping[str, Any],
    own: str,
    folder: Path,
    files: Sequence[str],
    unread: Sequence[str] = (),
) -> list[str]:
    """All that does not agree with the seal of a record, a text for each file.

    Only names of `files` are looked for: a record that somebody has sent may name any place. Those
    that are `unread` are too, but their content is not looked at.
    """
    digests = record.get("digests")
    if not isinstance(digests, dict):
        digests = {}
    known = {name: value for name, value in digests.items() if name in (*files, own)}
    missing = [f"{name} is not among what {own} vouches for" for name in files if name not in known]
    return [*_faults({**record, "digests": known}, own, folder, (), unread), *missing]


def _faults(
    record: Mapping[str, Any],
    own: str,
    folder: Path,
    files: Sequence[str],
    unread: Sequence[str] = (),
) -> Iterator[str]:
    digests = record.get("digests")
    if not isinstance(digests, dict):
        yield f"{own} {CHANGED}"
        return
    others = {name: value for name, value in digests.items() if name != own}
    if digests.get(own) != _canonical({**record, "digests": others}):
        yield f"{own} {CHANGED}"
    for name, value in others.items():
        if name in unread:
            continue
        try:
            if file_sha256(f"{folder}/{name}") != value:
                yield f"{name} {CHANGED}"
        except FileNotFoundError:
            yield f"{name} is missing"
        except (OSError, ValueError):
            yield f"{name} cannot be read"
    for name in files:
        if name not in others:
            yield f"{name} was added since it was computed"


def file_sha256(path: Path | str) -> str:
    """The SHA-256 of a file; read again only where the file has changed. Raises OSError."""
    found = os.stat(path)  # noqa: PTH116 (thousands of files: Path is slow)
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
        raise OSError(f"{path} is no regular file")
    stamp = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
    return _digest(str(path), *stamp)


@functools.lru_cache(maxsize=2**17)
def _digest(path: str, *stamp: int) -> str:  # noqa: ARG001
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return hashlib.file_digest(file, "sha256").hexdigest()


def _canonical(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
