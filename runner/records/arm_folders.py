"""The folder of each arm in the store: its name, and its signature, by which it is found. No torch.

A folder has the name of its arm. If another arm of that name exists, the first characters of the
signature are appended: `dense`, then `dense-3f9a01`. Names that differ only in upper and lower case
count as equal, because some disks take them for one.

Three records hold the signature, and the first readable one counts:

- the file `signature`,
- the folder's name, which in earlier versions was `<arm>-<signature>`,
- `arm.json`, whose content the signature hashes.

A new folder is claimed by its file `signature`, which only one process can create. So two commands
never share a folder, also on a disk without locks.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runner.records import schemas
from runner.records.files import is_folder, list_names, read_bytes, read_json, write_json

ARM, SIGNATURE = "arm.json", "signature"
STATUS = "status.json"
N_DIGITS, N_SHORT = 16, 6
"""The hexadecimal digits of a signature, and the digits that tell two folders of one name apart."""
CLAIM_SECONDS = 0.5  # another process may take so long to write the file that it has created
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


def claim_folder(folder: Path, arm_signature: str) -> bool:
    """Make the folder of an arm if it is missing; return whether it is this arm's folder.

    Only one process can create the file `signature`. If another arm has, the answer is False, and
    nothing is changed.

    Raises:
        OSError: the folder cannot be made, or its signature cannot be written.
    """
    path, is_new = folder / SIGNATURE, not is_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # A new folder may have a name that ends like a signature.
    if not is_new and (known := read_signature(folder)) is not None:
        if known == arm_signature and not os.path.lexists(path):
            write_signature(folder, arm_signature)
        return known == arm_signature
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return wait_for_signature(folder) == arm_signature
    try:
        # The file is not synced to the disk: `arm.json` holds the signature, too.
        with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 (a file descriptor)
            file.write(f"{arm_signature}\n")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return True


def wait_for_signature(folder: Path) -> str | None:
    """Return the signature that another process writes into a folder now; None if none comes."""
    until = time.monotonic() + CLAIM_SECONDS
    while (known := read_signature(folder)) is None and time.monotonic() < until:
        time.sleep(CLAIM_SECONDS / 20)
    return known


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
        # A copy of an arm's folder, such as a backup, has its signature, too.
        self._by_signature: dict[str, list[Path]] = {}
        self._used_names: set[str] = set()
        # Names that start with a dot are of locks, of drafts, and of damaged folders set aside.
        names = [name for name in list_names(root) if not name.startswith(".")]
        for folder in (root / name for name in names):
            known = read_signature(folder) if is_folder(folder) else None
            if known is not None:
                self._by_signature.setdefault(known, []).append(folder)
            # A file is in use too, such as TensorBoard's view of all trials.
            if known is not None or not is_folder(folder) or not is_unused(folder):
                self._used_names.add(folder.name.casefold())

    def get(self, arm_signature: str) -> Path | None:
        """Return the folder of an arm, or None if it has none."""
        return next(iter(self._by_signature.get(arm_signature, ())), None)

    def items(self) -> list[tuple[str, Path]]:
        """Return the signature and the folder of each arm."""
        return [(known, folders[0]) for known, folders in self._by_signature.items()]

    def get_or_choose(self, name: str, arm_signature: str) -> Path:
        """Return the folder of an arm, else the path for a new one, which is then reserved.

        Of several folders with the signature, the one counts whose name the arm would choose. If
        none has such a name, the first in alphabetical order counts. `get` returns it from then on.
        """
        names = candidate_names(name, arm_signature)
        if folders := self._by_signature.get(arm_signature):
            ranks = {text.casefold(): rank for rank, text in enumerate(itertools.islice(names, 12))}
            folder = min(folders, key=lambda path: ranks.get(path.name.casefold(), len(ranks)))
        else:
            free = next(text for text in names if text.casefold() not in self._used_names)
            folder = self._root / free
            self._used_names.add(free.casefold())
        # Another name of this arm in the same study gets the same folder.
        self._by_signature[arm_signature] = [folder]
        return folder


def candidate_names(name: str, arm_signature: str) -> Iterator[str]:
    """Yield the names that the folder of an arm may have, the best first."""
    yield name
    for n_digits in range(N_SHORT, N_DIGITS + 1):
        yield f"{name}-{arm_signature[:n_digits]}"
    for number in itertools.count(2):
        yield f"{name}-{arm_signature}-{number}"


def is_unused(folder: Path) -> bool:
    """Whether a folder without a readable signature is free: it holds no trial and no signature."""
    if os.path.lexists(folder / SIGNATURE):
        return False
    return not any((folder / name / STATUS).exists() for name in list_names(folder))
