"""The seal of a record: digests of its files and of itself, and the changes since. No torch.

A sealed record holds `format` and `digests`. `digests` has the SHA-256 of each of its files. Under
the record's own file name it has the SHA-256 of the record without this one entry, as canonical
JSON (sorted keys, no spaces). The seal detects an edited file. It does not detect an edit that also
updates the digests.
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
"""Version of the schemas of all records; a record without it, or of another one, is not used."""

CHANGED = "was changed since it was computed"


def seal_record(
    record: Mapping[str, Any], own_name: str, folder: Path, files: Sequence[str]
) -> dict[str, Any]:
    """Return a record with its format and digests.

    `own_name` is the name of its own file; `files` are other files of `folder` that it covers.
    """
    digests = {name: file_sha256(folder / name) for name in files}
    unsealed = {**replace_non_finite(record), "format": FORMAT, "digests": digests}
    return {**unsealed, "digests": {**digests, own_name: canonical_sha256(unsealed)}}


def has_current_format(record: Mapping[str, Any]) -> bool:
    """Whether a record has the current format."""
    return record.get("format") == FORMAT


def format_mismatch(record: Mapping[str, Any], own_name: str) -> str:
    """Return a message if a record has another format than the current one, else ""."""
    if has_current_format(record):
        return ""
    if "format" not in record:
        return f"{own_name} has no format, but format {FORMAT} is required"
    return (
        f"{own_name} has format {truncate_middle(record['format'], 20)}, but format {FORMAT} is "
        "required"
    )


def first_change(
    record: Mapping[str, Any], own_name: str, folder: Path, files: Sequence[str]
) -> str:
    """Return the first change since a record was sealed, naming the file; "" if there is none.

    `files` are the files that are in the folder now.
    """
    return next(_changes(record, own_name, folder, files), "")


def list_changes(
    record: Mapping[str, Any],
    own_name: str,
    folder: Path,
    files: Sequence[str],
    unread: Sequence[str] = (),
) -> list[str]:
    """Return all changes since a record was sealed, one text for each file.

    Only names of `files` are checked, since an untrusted record may name any path. For the names in
    `unread`, only the digest must exist; the file is not read.
    """
    digests = record.get("digests")
    if not isinstance(digests, dict):
        digests = {}
    known = {name: value for name, value in digests.items() if name in (*files, own_name)}
    missing = [f"{name} has no digest in {own_name}" for name in files if name not in known]
    return [*_changes({**record, "digests": known}, own_name, folder, (), unread), *missing]


def _changes(
    record: Mapping[str, Any],
    own_name: str,
    folder: Path,
    files: Sequence[str],
    unread: Sequence[str] = (),
) -> Iterator[str]:
    digests = record.get("digests")
    if not isinstance(digests, dict):
        yield f"{own_name} {CHANGED}"
        return
    others = {name: value for name, value in digests.items() if name != own_name}
    if digests.get(own_name) != canonical_sha256({**record, "digests": others}):
        yield f"{own_name} {CHANGED}"
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
    """Return the SHA-256 of a file, which is read again only after a change. Raises OSError."""
    status = os.stat(path)  # noqa: PTH116 (thousands of files: Path is slow)
    if not stat.S_ISREG(status.st_mode):  # reading a pipe might never end
        raise OSError(f"{path} is not a regular file")
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return _digest(str(path), *stamp)


@functools.lru_cache(maxsize=2**17)
def _digest(path: str, *stamp: int) -> str:  # noqa: ARG001
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_sha256(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record as canonical JSON: sorted keys, no spaces."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
