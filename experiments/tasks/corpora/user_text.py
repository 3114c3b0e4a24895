"""The user's own text: each file is a document, each folder a label, and no text counts twice."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.tasks.corpora.file_search import FoundFiles, describe_skipped, find_files
from experiments.tasks.corpora.labels import label_folders, printable_name
from experiments.tasks.corpora.normalisation import decode_to_utf8, dedup_key, looks_like_text

EMPTY, NO_TEXT, COPY = "empty file", "file that is no text", "copy"
MOST_NAMED = 6  # labels that the line names


@dataclass(frozen=True)
class UserText:
    """What one reading of the files found.

    Attributes:
        documents: texts by label, in an order that does not depend on where the files are.
        left_out: how many files, links and folders were not read, and how many are copies.
        lost: labels all of whose text is that of another label.
    """

    documents: Mapping[str, Sequence[bytes]]
    skipped: Counter[str]
    duplicate_labels: Sequence[str] = ()

    def fingerprint_inputs(self) -> list[list[str]]:
        """Labels and the hashes of their documents: what a fingerprint covers."""
        return [
            [label, *(_digest(data).hex() for data in found)]
            for label, found in self.documents.items()
        ]

    def summary(self, held_out: int) -> str:
        """What was read, in a line; `held_out` bytes are kept for evaluation."""
        sizes = [len(document) for found in self.documents.values() for document in found]
        told = [f"read {_counted(len(sizes), 'file')}", _bytes(sum(sizes)), self._labels()]
        told.append(f"held out {_percent(held_out / sum(sizes))}")
        told += [f"{part} left out" for part in describe_skipped(self.skipped).split(", ") if part]
        if self.duplicate_labels:
            told.append(f"nothing but copies in {_listed(self.duplicate_labels)}")
        return f"text: {', '.join(told)}"

    def _labels(self) -> str:
        names = list(self.documents)
        return f"label{'s' * (len(names) > 1)} {_listed(names)}"


def read_documents(path: str, results: Path | None = None) -> UserText:
    """Read the files that `path` names, each of them once.

    The label is the name of the folder that a file is in, with those above it where two have the
    same; "text" if all files are in one. Texts that differ in nothing but white space, line ends,
    BOM, UTF encoding or Unicode form are one document: the shortest of them stays, under the first
    label that has it, so that none is trained on and held out. A file that `path` names itself is
    read whatever it holds.

    Args:
        path: as `find.find_files` says.
        results: a folder that is not read.

    Raises:
        ValueError: nothing matches, a file cannot be read, or there is no text.
    """
    found = find_files(path, results)
    copies: dict[bytes, list[tuple[Path, bytes]]] = {}
    for file, document in _texts(path, found):
        key = dedup_key(document)
        if key is None:
            found.skipped[EMPTY] += 1
        else:
            copies.setdefault(key, []).append((file.parent, document))
    if not copies:
        raise ValueError(_no_text(path, found))
    by_folder: dict[Path, list[bytes]] = {}
    for same in copies.values():
        shortest = min((document for _, document in same), key=lambda d: (len(d), _digest(d)))
        by_folder.setdefault(same[0][0], []).append(shortest)
        found.skipped[COPY] += len(same) - 1
    folders = {folder for same in copies.values() for folder, _ in same}
    of = label_folders(by_folder if len(by_folder) == 1 else folders)
    lost = label_folders(folders)
    return UserText(
        {
            of[folder]: sorted(by_folder[folder], key=_digest)
            for folder in sorted(by_folder, key=of.__getitem__)
        },
        found.skipped,
        sorted(lost[folder] for folder in folders if folder not in by_folder),
    )


def _texts(path: str, found: FoundFiles) -> Iterator[tuple[Path, bytes]]:
    for file in found.files:
        try:
            document = decode_to_utf8(file.read_bytes())
        except OSError as error:
            raise ValueError(
                f"task.path={path!r}: {printable_name(str(file))} cannot be read ({error.strerror}); "
                f"mend its rights or leave it out"
            ) from error
        if found.is_named_directly or looks_like_text(document):
            yield file, document
        else:
            found.skipped[NO_TEXT] += 1


def _no_text(path: str, found: FoundFiles) -> str:
    n = len(found.files)
    what = "all of them empty" if found.skipped[EMPTY] == n else "none of them holds text"
    told = describe_skipped(found.skipped)
    return f"task.path={path!r}: {n} files, {what} ({told} left out); name files with text"


def split_held_out(found: Sequence[bytes], eval_share: float) -> tuple[bytes, list[bytes]]:
    """Training bytes and held-out documents of one label, about `eval_share` of its bytes.

    Whole documents are held out, in the order given but never the largest; a single one's tail is.
    """
    if len(found) == 1:
        cut = len(found[0]) - round(len(found[0]) * eval_share)
        return found[0][:cut], [found[0][cut:]]
    largest = max(range(len(found)), key=lambda index: len(found[index]))
    wanted, size = eval_share * sum(map(len, found)), 0
    train: list[bytes] = []
    held_out: list[bytes] = []
    for index, document in enumerate(found):
        if index != largest and size < wanted:
            held_out.append(document)
            size += len(document)
        else:
            train.append(document)
    return b"\n".join(train), held_out


def _counted(n: int, word: str) -> str:
    return describe_skipped(Counter({word: n}))


def _listed(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMED:
        return f"{', '.join(names[: MOST_NAMED - 1])} and {len(names) - MOST_NAMED + 1} more"
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + [names[-1]])


def _bytes(n: int) -> str:
    """A number of bytes: 812 bytes, 4.6 kB, 46 kB, 1.2 MB."""
    if n < 1000:
        return _counted(n, "byte")
    value, unit = (n / 1e3, "kB") if n < 999_500 else (n / 1e6, "MB")
    return f"{value:.0f} {unit}" if value >= 9.95 else f"{value:.1f} {unit}"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 0.95 or not percent else f"{percent:.1g} %"


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
