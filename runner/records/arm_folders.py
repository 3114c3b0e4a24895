"""The folder of each arm in the store: its name, and its signature, by which it is found. No torch.

A folder has the name of its arm. If another arm of that name exists, the first characters of the
signature are appended: `dense`, then `dense-3f9a01`. Names that differ only in upper and lower case
count as equal, because some disks take them for one.

Three records hold the signature, and the first readable one counts:

- the file `signature`,
- the folder's name, which in earlier versions was `<arm>-<signature>`,
- `arm.json`, whose content the signature hashes.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.records import schemas
from runner.records.files import is_folder, list_names, read_bytes, read_json, write_json

ARM, SIGNATURE = "arm.json", "signature"
STATUS = "status.json"
N_DIGITS, N_SHORT = 16, 6
"""The hexadecimal digits of a signature, and the digits that tell two folders of one name apart."""
_SIGNATURE = re.compile(rf"[0-9a-f]{{{N_DIGITS}}}")


def signature_text(tree: dict[str, Any], data: str, machine: dict[str, Any] | None) -> str:
    """Return the text that identifies an arm.

    It holds the resolved config, the fingerprint of the data, and the machine if trials are timed.
    """
    where = {} if machine is None else {"machine": machine}
    return json.dumps({"config": tree, "data": data, **where}, sort_keys=True)


def signature(text: str) -> str:
    """Return the signature of an arm: a short hash of its `signature_text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]


def read_signature(folder: Path) -> str | None:
    """Return the signature of an arm's folder; None if no record of it is readable."""
    with contextlib.suppress(OSError):
        text = read_bytes(folder / SIGNATURE, 100).decode("ascii", "replace").strip()
        if _SIGNATURE.fullmatch(text):
            return text
    end = folder.name.rpartition("-")[2]
    if end != folder.name and _SIGNATURE.fullmatch(end):
        return end
    record = read_json(folder / ARM)
    return None if record is None else signature(json.dumps(record, sort_keys=True))


def write_signature(folder: Path, arm_signature: str) -> None:
    """Write the signature of an arm into its folder, unless it is written already.

    The file is not synced to the disk: `arm.json` holds the signature, too.
    """
    path = folder / SIGNATURE
    with contextlib.suppress(OSError):
        if read_bytes(path, 100) == f"{arm_signature}\n".encode():
            return
    draft = path.with_name(f".{SIGNATURE}.{os.getpid()}")
    draft.write_text(f"{arm_signature}\n", encoding="ascii")
    draft.replace(path)


def write_arm(folder: Path, text: str) -> None:
    """Write `arm.json` and the signature of an arm, given its `signature_text`."""
    write_signature(folder, signature(text))
    write_json(folder / ARM, json.loads(text))


def read_arm_record(folder: Path) -> dict[str, Any] | None:
    """Return the content of an arm's `arm.json`; None where it cannot be read."""
    record = read_json(folder / ARM)
    return record if record is not None and schemas.is_arm(record) else None


def split_seed_offset(arm: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return an arm's `arm.json` with `seed_offset` 0, and its `seed_offset`."""
    config = {**arm["config"], "seed_offset": 0}
    return {**arm, "config": config}, int(arm["config"].get("seed_offset", 0))


class ArmFolders:
    """The arms of a store: their folders by signature, read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._by_signature: dict[str, Path] = {}
        self._used_names: set[str] = set()
        # Names that start with a dot are of locks, of drafts, and of damaged folders set aside.
        names = [name for name in list_names(root) if not name.startswith(".")]
        for folder in (root / name for name in names):
            known = read_signature(folder) if is_folder(folder) else None
            if known is not None:
                self._by_signature.setdefault(known, folder)
            # A file is in use too, such as TensorBoard's view of all trials.
            if known is not None or not is_folder(folder) or not is_unused(folder):
                self._used_names.add(folder.name.casefold())

    def get(self, arm_signature: str) -> Path | None:
        """Return the folder of an arm, or None if it has none."""
        return self._by_signature.get(arm_signature)

    def items(self) -> list[tuple[str, Path]]:
        """Return the signature and the folder of each arm."""
        return list(self._by_signature.items())

    def get_or_choose(self, name: str, arm_signature: str) -> Path:
        """Return the folder of an arm, else the path for a new one, which is then reserved."""
        folder = self._by_signature.get(arm_signature)
        if folder is None:
            ends = ("", *(f"-{arm_signature[:n]}" for n in range(N_SHORT, N_DIGITS + 1)))
            free = (name + end for end in ends if (name + end).casefold() not in self._used_names)
            folder = self._root / next(free, f"{name}-{arm_signature}-2")
            self._by_signature[arm_signature] = folder
            self._used_names.add(folder.name.casefold())
        return folder


def is_unused(folder: Path) -> bool:
    """Whether a folder without a signature holds no trial, so that an arm may take it."""
    return not any((folder / name / STATUS).exists() for name in list_names(folder))
