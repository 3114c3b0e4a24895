"""The user's own text: a file is a document, a folder is a label, and duplicates are removed."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.tasks.corpora.file_search import FoundFiles, describe_skipped, find_files
from experiments.tasks.corpora.labels import label_folders, printable_name
from experiments.tasks.corpora.normalisation import decode_to_utf8, dedup_key, looks_like_text

EMPTY, NO_TEXT, COPY = "empty file", "file that is not text", "copy"
MAX_NAMED = 6
"""The largest number of labels that the summary names."""


@dataclass(frozen=True)
class UserText:
    """The documents of the user's files.

    Attributes:
        documents: texts by label, in an order that does not depend on the location of the files.
        skipped: numbers of files, links and folders that were not read, and of copies, by kind.
        duplicate_labels: labels that have only text of other labels.
    """

    documents: Mapping[str, Sequence[bytes]]
    skipped: Counter[str]
    duplicate_labels: Sequence[str] = ()

    def fingerprint_inputs(self) -> list[list[str]]:
        """Return the labels with the hashes of their documents, which the fingerprint covers."""
        return [
            [label, *(_digest(data).hex() for data in texts)]
            for label, texts in self.documents.items()
        ]

    def summary(self, held_out: int) -> str:
        """Return one line about the text; `held_out` is the number of held-out bytes."""
        sizes = [len(document) for texts in self.documents.values() for document in texts]
        facts = [f"read {_counted(len(sizes), 'file')}", _bytes(sum(sizes)), self._labels()]
        facts.append(f"held out {_percent(held_out / sum(sizes))}")
        facts += [f"{part} left out" for part in describe_skipped(self.skipped).split(", ") if part]
        if self.duplicate_labels:
            facts.append(f"only copies in {_listed(self.duplicate_labels)}")
        return f"text: {', '.join(facts)}"

    def _labels(self) -> str:
        names = list(self.documents)
        return f"label{'s' * (len(names) > 1)} {_listed(names)}"


def read_documents(path: str, results: Path | None = None) -> UserText:
    """Read the files that `path` names, each of them once.

    - The label of a file is the name of its folder, with the folders above it where two folders
      have the same name. It is "text" if all files are in one folder.
    - Texts that differ only in white space, line ends, BOM, UTF encoding or Unicode form are one
      document. The shortest of them is used, under the first label that has it. So no text is both
      trained on and held out.
    - A file that `path` names directly is read even if it does not look like text.

    Args:
        path: see `file_search.find_files`.
        results: a folder that is not read.

    Raises:
        ValueError: no file matches, a file cannot be read, or there is no text.
    """
    # Group the documents that are copies of each other.
    found_files = find_files(path, results)
    copies: dict[bytes, list[tuple[Path, bytes]]] = {}
    for file, document in _texts(path, found_files):
        key = dedup_key(document)
        if key is None:
            found_files.skipped[EMPTY] += 1
        else:
            copies.setdefault(key, []).append((file.parent, document))
    if not copies:
        raise ValueError(_no_text_message(path, found_files))
    # The shortest copy of each group counts, in the folder of the first one.
    by_folder: dict[Path, list[bytes]] = {}
    for group in copies.values():
        shortest = min((document for _, document in group), key=lambda d: (len(d), _digest(d)))
        by_folder.setdefault(group[0][0], []).append(shortest)
        found_files.skipped[COPY] += len(group) - 1
    # Folders with copies only have labels, too, so that the summary can name them.
    folders = {folder for group in copies.values() for folder, _ in group}
    labels = label_folders(by_folder if len(by_folder) == 1 else folders)
    all_labels = label_folders(folders)
    return UserText(
        {
            labels[folder]: sorted(by_folder[folder], key=_digest)
            for folder in sorted(by_folder, key=labels.__getitem__)
        },
        found_files.skipped,
        sorted(all_labels[folder] for folder in folders if folder not in by_folder),
    )


def _texts(path: str, found_files: FoundFiles) -> Iterator[tuple[Path, bytes]]:
    for file in found_files.files:
        try:
            document = decode_to_utf8(file.read_bytes())
        except OSError as error:
            raise ValueError(
                f"task.path={path!r}: {printable_name(str(file))} cannot be read "
                f"({error.strerror}); correct its permissions or leave it out"
            ) from error
        if found_files.is_named_directly or looks_like_text(document):
            yield file, document
        else:
            found_files.skipped[NO_TEXT] += 1


def _no_text_message(path: str, found_files: FoundFiles) -> str:
    skipped = describe_skipped(found_files.skipped)
    return f"task.path={path!r} has no text ({skipped} left out); name files with text"


def split_held_out(documents: Sequence[bytes], eval_share: float) -> tuple[bytes, list[bytes]]:
    """Return training bytes and held-out documents of one label, about `eval_share` of its bytes.

    Whole documents are held out, in order, except the largest. A single document is cut: its end is
    held out.
    """
    # A single document is cut, since both parts need text.
    if len(documents) == 1:
        cut = len(documents[0]) - round(len(documents[0]) * eval_share)
        return documents[0][:cut], [documents[0][cut:]]
    # The largest document is trained on, so that training has text even for a large share.
    largest = max(range(len(documents)), key=lambda index: len(documents[index]))
    n_bytes, size = eval_share * sum(map(len, documents)), 0
    train: list[bytes] = []
    held_out: list[bytes] = []
    # Hold out documents until they have the share; the order is that of their hashes.
    for index, document in enumerate(documents):
        if index != largest and size < n_bytes:
            held_out.append(document)
            size += len(document)
        else:
            train.append(document)
    return b"\n".join(train), held_out


def _counted(n: int, word: str) -> str:
    return describe_skipped(Counter({word: n}))


def _listed(names: Sequence[str]) -> str:
    if len(names) > MAX_NAMED:
        return f"{', '.join(names[: MAX_NAMED - 1])} and {len(names) - MAX_NAMED + 1} more"
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + [names[-1]])


def _bytes(n: int) -> str:
    """Format a number of bytes: 812 bytes, 4.6 kB, 46 kB, 1.2 MB."""
    if n < 1000:
        return _counted(n, "byte")
    value, unit = (n / 1e3, "kB") if n < 999_500 else (n / 1e6, "MB")
    return f"{value:.0f} {unit}" if value >= 9.95 else f"{value:.1f} {unit}"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 0.95 or not percent else f"{percent:.1g} %"


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
