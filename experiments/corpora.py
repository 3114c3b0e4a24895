"""The corpora that tasks draw from: built once, cached under a fingerprint, split without leaks.

A file `<cache>/<kind>-<fingerprint>.npz` holds training bytes and evaluation windows of all labels:

    labels       (n_labels,)            names of the domains
    train        (bytes,) uint8         training text, label after label
    bounds       (n_labels + 1,)        where each label's part of `train` begins and ends
    windows      (n_eval, length + 1)   uint8, held-out sequences, labels taking turns
    window_label (n_eval,)              the label of each

Documents are split, not text: a document is trained on or held out. No stretch of `length` bytes of
an evaluation window occurs in the training text of any label. Imports no torch: planning is fast.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments import corpus_files, corpus_japanese, corpus_sources
from experiments.config import (
    Domains,
    Function,
    Induction,
    Numbers,
    Pairs15,
    Patterns,
    Text,
    Waves,
)
from experiments.corpus_windows import evaluation_windows, rolling_hashes

Corpus = Domains | Text
# Drawn when they are needed, nothing is cached.
Formula = Waves | Patterns | Induction | Function | Numbers | Pairs15

DOMAINS: dict[str, Callable[[], Iterator[str]]] = {
    "code": corpus_sources.code,
    "english": corpus_sources.english,
    "japanese": corpus_japanese.japanese,
}
LONGEST = 16_384  # bytes kept of one document of a domain, so that no long file dominates
HELD_OUT_EVERY = 8  # one document in so many is held out
MIN_HELD_OUT = 8  # documents


@dataclass(frozen=True)
class Split:
    """The text of one label: training bytes, and whole documents that are held out."""

    train: bytes
    held_out: Sequence[bytes]


def prepare(options: Corpus | Formula, cache: Path) -> str:
    """The fingerprint of the data behind `options`; builds the cached corpus where it is missing.

    It covers the options, the versions of packages or the contents of files that are read, and the
    code that reads them.

    Raises:
        ValueError: the user's files are missing or unreadable, or there is too little text.
    """
    evidence, _ = RECIPES[type(options)]
    settings = {key: value for key, value in asdict(options).items() if key != "path"}
    text = json.dumps([settings, evidence(options)], sort_keys=True)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = _path(options, cache, fingerprint)
    if isinstance(options, Corpus) and not path.exists():
        _write(path, build(options))
    return fingerprint


def load(options: Corpus, cache: Path) -> dict[str, NDArray[Any]]:
    """The arrays described above, from the cached file."""
    with np.load(_path(options, cache, prepare(options, cache))) as arrays:
        return dict(arrays)


def build(options: Corpus) -> dict[str, NDArray[Any]]:
    """The arrays described above, from the sources."""
    _, split = RECIPES[type(options)]
    splits: dict[str, Split] = split(options)
    if options.n_eval < len(splits):
        raise ValueError(
            f"task.n_eval={options.n_eval} must be at least the number of labels, {len(splits)}"
        )
    for label, part in splits.items():
        if len(part.train) <= options.length:
            raise ValueError(
                f"{label}: {len(part.train)} bytes to train on are too few for length="
                f"{options.length} (+1); lower task.length, or give more text"
            )
    train = [np.frombuffer(part.train, np.uint8) for part in splits.values()]
    known = np.sort(np.concatenate([rolling_hashes(part, options.length) for part in train]))
    windows = [
        evaluation_windows(part.held_out, known, options.length, n, label)
        for (label, part), n in zip(
            splits.items(), shares(options.n_eval, len(splits)), strict=True
        )
    ]
    owner = np.repeat(np.arange(len(splits)), [len(part) for part in windows])
    turn = np.concatenate([np.arange(len(part)) for part in windows])
    order = np.lexsort((owner, turn))
    return {
        "labels": np.array(list(splits)),
        "train": np.concatenate(train),
        "bounds": np.cumsum([0, *map(len, train)]),
        "windows": np.concatenate(windows)[order],
        "window_label": owner[order],
    }


def shares(total: int, n: int) -> list[int]:
    """`total` cut into `n` parts that differ by at most one."""
    return [total // n + (index < total % n) for index in range(n)]


def split_domains(options: Domains) -> dict[str, Split]:
    """Documents of each domain until both parts are full; the hash of its text holds one out."""
    wanted = dict(zip(options.domains, shares(options.n_eval, len(options.domains)), strict=True))
    return {
        name: _fill(
            name, options.train_bytes, max(4 * n * (options.length + 1), options.train_bytes // 16)
        )
        for name, n in wanted.items()
    }


def _fill(name: str, train_bytes: int, held_out_bytes: int) -> Split:
    seen: set[bytes] = set()
    train, held_out = bytearray(), []
    missing = held_out_bytes
    for document in map(_shorten, DOMAINS[name]()):
        digest = hashlib.sha256(document).digest()
        if digest in seen:
            continue
        seen.add(digest)
        if digest[0] % HELD_OUT_EVERY == 0:
            held_out.append(document)
            missing -= len(document)
        elif len(train) < train_bytes:
            train += document
        if len(train) >= train_bytes and missing <= 0 and len(held_out) >= MIN_HELD_OUT:
            return Split(bytes(train[:train_bytes]), held_out)
    raise ValueError(
        f"domain {name} has {len(train)} bytes to train on and {held_out_bytes - missing} held "
        f"out; task.train_bytes={train_bytes} and {held_out_bytes} are needed; lower "
        f"task.train_bytes, task.n_eval or task.length"
    )


def _shorten(text: str) -> bytes:
    """At most LONGEST bytes of whole lines."""
    data = text.encode() + b"\n"
    return data if len(data) <= LONGEST else data[: data.rfind(b"\n", 0, LONGEST) + 1]


def split_files(options: Text) -> dict[str, Split]:
    """The user's documents by label, and for each label the part that is held out."""
    return {
        label: Split(*corpus_files.split(documents, options.eval_share))
        for label, documents in corpus_files.documents(options.path).items()
    }


def _code(*names: str) -> str:
    """A hash of source files of this folder: data built by other code has another fingerprint."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in names)).hexdigest()


RECIPES: dict[type, tuple[Callable[[Any], object], Callable[[Any], dict[str, Split]]]] = {
    Domains: (
        lambda _: [
            corpus_sources.versions(),
            _code("corpora.py", "corpus_sources.py", "corpus_japanese.py", "corpus_windows.py"),
        ],
        split_domains,
    ),
    Text: (
        lambda o: [
            corpus_files.evidence(o.path),
            _code("corpora.py", "corpus_files.py", "corpus_windows.py"),
        ],
        split_files,
    ),
    Waves: (lambda _: [_code("tasks/waves.py")], lambda _: {}),
    Patterns: (lambda _: [_code("tasks/patterns.py")], lambda _: {}),
    Induction: (lambda _: [_code("tasks/induction.py")], lambda _: {}),
    Function: (lambda _: [_code("tasks/function.py")], lambda _: {}),
    Numbers: (
        lambda _: [version("num2words"), _code("tasks/numbers.py", "tasks/translation.py")],
        lambda _: {},
    ),
    Pairs15: (lambda _: [_code("tasks/pairs.py", "tasks/translation.py")], lambda _: {}),
}


def _path(options: Corpus | Formula, cache: Path, fingerprint: str) -> Path:
    return cache / f"{options.kind}-{fingerprint}.npz"


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write beside, then rename: whoever reads or builds at the same time sees a whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".building-") as folder:
        part = Path(folder, path.name)
        np.savez(part, allow_pickle=False, **arrays)
        part.replace(path)
