"""Names of folders as labels: different for different folders, and fit for every record.

A label stands in names of metrics, in CSV, JSON, TensorBoard and figures. So it has no slash, no
character that is not printed or breaks a line, and no byte that is no UTF-8.
"""

import unicodedata
from collections import Counter
from collections.abc import Collection
from pathlib import Path

JOINT = ":"
"""Stands between the folders of a label that needs several: en:notes and ja:notes."""
LONGEST = 48  # characters of a label
ONE = "text"
"""The label of documents that lie in one folder."""


def label_folders(folders: Collection[Path]) -> dict[Path, str]:
    """The label of each folder: the shortest end of its path that no other folder has."""
    if len(folders) == 1:
        return dict.fromkeys(folders, ONE)
    parts = {folder: folder.absolute().parts for folder in sorted(folders)}
    ends: dict[Path, tuple[str, ...]] = {}
    for length in range(1, 1 + max(map(len, parts.values()), default=0)):
        count = Counter(path[-length:] for path in parts.values())
        for folder, path in parts.items():
            if folder not in ends and count[path[-length:]] == 1:
                ends[folder] = path[-length:]
    found: dict[Path, str] = {}
    taken: set[str] = set()
    for folder in parts:
        label = _short(JOINT.join(_trimmed(printable_name(part)) for part in ends[folder]))
        number, candidate = 1, label
        while _as_read(candidate) in taken:
            number += 1
            candidate = f"{label} ({number})"
        taken.add(_as_read(candidate))
        found[folder] = candidate
    return found


def printable_name(name: str) -> str:
    r"""A name in one line of valid text: what is not printed becomes \x8f or \u2028."""
    return "".join(map(_written, unicodedata.normalize("NFC", name)))


def _written(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _trimmed(name: str) -> str:
    """The name with spaces at its ends spelt out, and slashes (of the root) left out."""
    bare = name.strip().strip("/")
    if not bare:
        return name.replace("/", "root").replace(" ", "\\x20") or "root"
    start = len(name) - len(name.lstrip())
    end = len(name) - len(name.rstrip())
    return "\\x20" * start + bare + "\\x20" * end


def _short(label: str) -> str:
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 16]}…{label[-15:]}"


def _as_read(label: str) -> str:
    """What a table's reader may take a label for: 1, 01 and 1e0 are a number, true and True a bool.

    As text, since NaN does not equal itself.
    """
    try:
        return str(float(label))
    except ValueError:
        return label.lower() if label.lower() in ("true", "false") else label
