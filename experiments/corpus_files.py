"""The user's own text: each file is a document, each folder a label."""

import hashlib
from collections.abc import Sequence
from pathlib import Path


def documents(path: str) -> dict[str, list[bytes]]:
    """Distinct documents by label, in an order that does not depend on where the files are.

    The label is the name of the parent folder, or "text" if all files are in one folder.

    Args:
        path: a file, a folder (all files below it that are not hidden) or a glob (`**`: any depth);
            `~` is the home folder.

    Raises:
        ValueError: nothing matches, a file cannot be read, or there is no text.
    """
    files = find(path)
    one_label = len({file.parent for file in files}) == 1
    found: dict[str, list[bytes]] = {}
    seen: set[bytes] = set()
    for file in files:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ValueError(
                f"task.path={path!r}: {file} cannot be read ({error.strerror}); "
                f"mend its rights or leave it out"
            ) from error
        if data and data not in seen:
            seen.add(data)
            found.setdefault("text" if one_label else file.parent.name, []).append(data)
    if not found:
        raise ValueError(
            f"task.path={path!r}: {len(files)} files, all of them empty; name files with text"
        )
    return {label: sorted(found[label], key=_digest) for label in sorted(found)}


def find(path: str) -> list[Path]:
    """The files that `path` names, sorted. Raises ValueError if there are none."""
    whole = Path(path).expanduser()
    if whole.is_file():
        return [whole]
    if whole.is_dir():
        below = (file.relative_to(whole) for file in whole.rglob("*"))
        files = [
            whole / file for file in below if not any(part.startswith(".") for part in file.parts)
        ]
    else:
        files = list(Path(whole.anchor).glob(str(whole.relative_to(whole.anchor))))
    files = sorted(file for file in files if file.is_file())
    if not files:
        raise ValueError(
            f"task.path={path!r} matches no file; "
            f"give a file, a folder or a glob, e.g. 'notes/**/*.md'"
        )
    return files


def split(found: Sequence[bytes], eval_share: float) -> tuple[bytes, list[bytes]]:
    """Training bytes and held-out documents of one label, about `eval_share` of its bytes.

    Whole documents are held out, in the order given but never the largest; a single one's tail is.
    """
    if len(found) == 1:
        cut = len(found[0]) - round(len(found[0]) * eval_share)
        return found[0][:cut], [found[0][cut:]]
    largest = max(found, key=len)
    wanted = eval_share * sum(map(len, found))
    held_out: list[bytes] = []
    for document in found:
        if document is not largest and sum(map(len, held_out)) < wanted:
            held_out.append(document)
    kept = set(held_out)
    return b"\n".join(document for document in found if document not in kept), held_out


def evidence(path: str) -> list[list[str]]:
    """Labels and the hashes of their documents: what a fingerprint covers."""
    return [
        [label, *(_digest(data).hex() for data in found)]
        for label, found in documents(path).items()
    ]


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
