"""Labels from the names of folders: unique, and valid in every record.

Labels appear in names of metrics, in CSV, JSON, TensorBoard and figures. So they contain only
printable characters of valid UTF-8, and no slash or line break.
"""

import unicodedata
from collections import Counter
from collections.abc import Collection
from pathlib import Path

JOINT = ":"
"""Separates the folders of a label with several: en:notes and ja:notes."""
MAX_LENGTH = 48
"""The largest number of characters of a label."""
ONLY_LABEL = "text"
"""The label of all documents if they are in one folder."""


def label_folders(folders: Collection[Path]) -> dict[Path, str]:
    """Return the label of each folder: the shortest end of its path that no other folder has."""
    if len(folders) == 1:
        return dict.fromkeys(folders, ONLY_LABEL)
    parts = {folder: folder.absolute().parts for folder in sorted(folders)}
    ends: dict[Path, tuple[str, ...]] = {}
    for length in range(1, 1 + max(map(len, parts.values()), default=0)):
        count = Counter(path[-length:] for path in parts.values())
        for folder, path in parts.items():
            if folder not in ends and count[path[-length:]] == 1:
                ends[folder] = path[-length:]
    labels: dict[Path, str] = {}
    used: set[str] = set()
    for folder in parts:
        label = _shorten(JOINT.join(_escape_spaces(printable_name(part)) for part in ends[folder]))
        number, candidate = 1, label
        while _as_parsed(candidate) in used:
            number += 1
            candidate = f"{label} ({number})"
        used.add(_as_parsed(candidate))
        labels[folder] = candidate
    return labels


def printable_name(name: str) -> str:
    r"""Return a name as one line of valid text; other characters become \x8f or \u2028."""
    return "".join(map(_escape, unicodedata.normalize("NFC", name)))


def _escape(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not valid UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _escape_spaces(name: str) -> str:
    """Return the name with escaped spaces at its ends, and without slashes (of the root)."""
    bare = name.strip().strip("/")
    if not bare:
        return name.replace("/", "root").replace(" ", "\\x20") or "root"
    start = len(name) - len(name.lstrip())
    end = len(name) - len(name.rstrip())
    return "\\x20" * start + bare + "\\x20" * end


def _shorten(label: str) -> str:
    return label if len(label) <= MAX_LENGTH else f"{label[: MAX_LENGTH - 16]}…{label[-15:]}"


def _as_parsed(label: str) -> str:
    """Return the value that a reader of CSV may parse from a label, as text.

    1, 01 and 1e0 are one number, and true and True one bool. The value is text because NaN does not
    equal itself.
    """
    try:
        return str(float(label))
    except ValueError:
        return label.lower() if label.lower() in ("true", "false") else label
