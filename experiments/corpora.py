"""The corpora that tasks draw from: built once, cached under a fingerprint, split without leaks.

A file `<cache>/<kind>-<fingerprint>.npz` holds training bytes and evaluation windows of all labels:

    labels        (n_labels,)            names of the domains
    train         (bytes,) uint8         training text, label after label
    bounds        (n_labels + 1,)        where each label's part of `train` begins and ends
    windows       (n_eval, length + 1)   uint8, held-out sequences, labels taking turns
    window_label  (n_eval,)              the label of each
    tuning_windows, tuning_window_label  as many others, by which tuning chooses; none if the
                                         held-out text is too short for them
    tuning_free   (n_labels,)            how many of them each label could have, up to its share
    fingerprint   ()                     again, so that a renamed file is not taken for another

Documents are split, not text: a document is trained on or held out. No stretch of `length` bytes of
an evaluation window occurs in the training text of any label; of the user's text, no window does
that is only written another way (`corpus_alike`). A plan and its trials meet by the fingerprint: it
is of the bytes that were read once, which are those in the cache. Imports no torch.
"""

import hashlib
import json
import shutil
import stat
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
from experiments.config.tasks import SecondHeldOut
from experiments.corpus_build import Split, arrays_of, shares
from runner.config import Evaluation

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
class Ready:
    """Data that are ready on disk.

    Attributes:
        fingerprint: what they are found by.
        line: what was read, for the user; empty for data that are not the user's.
        source: where the user's text is, as typed; empty where there is none.
        evidence: a hash of what was read there, whatever the options make of it.
    """

    fingerprint: str
    line: str = ""
    source: str = ""
    evidence: str = ""


@dataclass(frozen=True)
class Source:
    """What the sources of some options hold now: the fingerprint, and the user's text if any."""

    fingerprint: str
    reading: corpus_files.Reading | None = None


def make_ready(
    options: Corpus | Formula,
    cache: Path,
    evaluation: Evaluation = Evaluation.report,
    *,
    keep: bool = True,
) -> Ready:
    """Read what is behind `options`, and build the cached corpus where it is missing or damaged.

    Unless it is to be kept, it is built to see that it can be, and not written.

    The fingerprint covers the options, the versions of packages or the contents of files that are
    read, and the code that reads them.

    Raises:
        ValueError: the user's files are missing or unreadable, there is too little text, or no
            held-out data for tuning beside the report's.
    """
    source = examine(options, cache)
    ready, arrays = Ready(source.fingerprint), None
    if isinstance(options, Corpus):
        path = _path(options, cache, source.fingerprint)
        splits = _splits(options, source)
        if source.reading and splits and isinstance(options, Text):
            held_out = sum(len(text) for part in splits.values() for text in part.held_out)
            ready = Ready(
                source.fingerprint,
                source.reading.line(held_out),
                options.path,
                _hash(source.reading.evidence()),
            )
        arrays = _read(path, ("labels", "tuning_free"))
        if arrays is None:
            try:
                arrays = build(options, splits)
            except ValueError as error:
                if source.reading and source.reading.left_out.total():
                    raise ValueError(f"{error} ({ready.line})") from error
                raise
            if keep:
                _write(path, arrays)
    if evaluation is Evaluation.tuning:
        _check_tuning(options, arrays)
    return ready


def prepare(options: Corpus | Formula, cache: Path) -> str:
    """The fingerprint of the data behind `options`, which are made ready; see `make_ready`."""
    return make_ready(options, cache).fingerprint


def examine(options: Corpus | Formula, cache: Path) -> Source:
    """What the sources of `options` hold now. Nothing below the folder of results is read."""
    settings = {key: value for key, value in asdict(options).items() if key != "path"}
    if isinstance(options, Text):
        reading = corpus_files.read(options.path, results_folder(cache))
        return Source(_hash([settings, [reading.evidence(), _code(*TEXT_CODE)]]), reading)
    return Source(_hash([settings, EVIDENCE[type(options)]()]))


def restore(options: Corpus | Formula, cache: Path, fingerprint: str) -> None:
    """Make sure that the data of a fingerprint are there, which a trial was planned with.

    Raises:
        ValueError: they are lost, and their source holds other data by now.
    """
    if isinstance(options, Corpus):
        load(options, cache, fingerprint)
    elif (now := examine(options, cache).fingerprint) != fingerprint:
        raise ValueError(_changed(options, fingerprint, now))


def load(options: Corpus, cache: Path, fingerprint: str = "") -> dict[str, NDArray[Any]]:
    """The arrays described above, of the fingerprint they were planned with ("": as they are now).

    They come from the cached file. Where it is missing or damaged it is built again, if the source
    still has this fingerprint.

    Raises:
        ValueError: it has not.
    """
    fingerprint = fingerprint or prepare(options, cache)
    path = _path(options, cache, fingerprint)
    arrays = _read(path)
    if arrays is None:
        source = examine(options, cache)
        if source.fingerprint != fingerprint:
            raise ValueError(_changed(options, fingerprint, source.fingerprint))
        arrays = build(options, _splits(options, source))
        _write(path, arrays)
    return arrays


def results_folder(cache: Path) -> Path:
    """The folder in which no text is looked for: the outputs folder that has the cache in it.

    A cache of another name than `corpora` stands alone.
    """
    return cache.parent if cache.name == "corpora" else cache


def _changed(options: Corpus | Formula, planned: str, now: str) -> str:
    what = f"the text of task.path={options.path!r}" if isinstance(options, Text) else "its source"
    return (
        f"task={options.kind}: {what} has changed since this trial was planned (data {planned}, "
        f"now {now}); run the command again to plan with what is there now"
    )


def _check_tuning(options: Corpus | Formula, arrays: Mapping[str, NDArray[Any]] | None) -> None:
    """Raise ValueError where there are no held-out data for tuning beside the report's."""
    if not isinstance(options, Corpus):
        if not isinstance(options, SecondHeldOut):
            raise ValueError(
                f"task={options.kind} has one set of held-out data, which the report uses, and "
                f"tuning needs another; type tune=none, or choose another task"
            )
        options.check_tuning()
        return
    assert arrays is not None, "the corpus was made ready"
    wanted = shares(options.n_eval, len(arrays["labels"]))
    for label, n, free in zip(arrays["labels"], wanted, arrays["tuning_free"], strict=True):
        if free < n:
            raise ValueError(
                f"{label}: tuning needs {n} held-out sequences beside the {n} that the report "
                f"uses, there are {free}; lower task.n_eval or task.length, hold out more text, "
                f"or type tune=none"
            )


def _splits(options: Corpus, source: Source) -> dict[str, Split] | None:
    """The user's text, split; None where it is read only to be built."""
    if source.reading is None or not isinstance(options, Text):
        return None
    return split_documents(source.reading.documents, options.eval_share)


def build(options: Corpus, splits: dict[str, Split] | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays described above but the fingerprint, of `splits` or of the domains."""
    if splits is None:
        assert isinstance(options, Domains), "the user's text is split where it is read"
        splits = split_domains(options)
    # Text of packages is ours, and is not written in several ways.
    return arrays_of(splits, options.length, options.n_eval, any_form=isinstance(options, Text))


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


def split_documents(
    documents: Mapping[str, Sequence[bytes]], eval_share: float
) -> dict[str, Split]:
    """For each label its training bytes, and the documents that are held out."""
    return {
        label: Split(*corpus_files.split(found, eval_share)) for label, found in documents.items()
    }


def _code(*names: str) -> str:
    """A hash of source files of this folder: data built by other code has another fingerprint."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in names)).hexdigest()


def _hash(evidence: object) -> str:
    text = json.dumps(evidence, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


BUILDING = ("corpora.py", "corpus_build.py", "corpus_alike.py", "corpus_windows.py")
TEXT_CODE = (*BUILDING, "corpus_files.py", "corpus_find.py", "corpus_labels.py")

EVIDENCE: dict[type, Callable[[], object]] = {
    Domains: lambda: [
        corpus_sources.versions(),
        _code(*BUILDING, "corpus_sources.py", "corpus_japanese.py"),
    ],
    Waves: lambda: [_code("tasks/waves.py")],
    Patterns: lambda: [_code("tasks/patterns.py")],
    Induction: lambda: [_code("tasks/induction.py")],
    Function: lambda: [_code("tasks/function.py")],
    Numbers: lambda: [version("num2words"), _code("tasks/numbers.py", "tasks/translation.py")],
    Pairs15: lambda: [_code("tasks/pairs.py", "tasks/translation.py")],
}
"""What a fingerprint covers besides the options: versions of packages and code."""


def _path(options: Corpus | Formula, cache: Path, fingerprint: str) -> Path:
    return cache / f"{options.kind}-{fingerprint}.npz"


ARRAYS: dict[str, tuple[int, str]] = {
    "labels": (1, "U"),
    "train": (1, "u"),
    "bounds": (1, "i"),
    "windows": (2, "u"),
    "window_label": (1, "i"),
    "tuning_windows": (2, "u"),
    "tuning_window_label": (1, "i"),
    "tuning_free": (1, "i"),
}
"""The dimensions and the kind of numbers of each cached array."""


def _read(path: Path, names: Sequence[str] = ()) -> dict[str, NDArray[Any]] | None:
    """The arrays of a cached file (`names`: these alone); None if it is missing or damaged."""
    fingerprint = path.stem.rpartition("-")[2]
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            return None
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["fingerprint"]) != fingerprint:
                return None
            found = {name: arrays[name] for name in names or ARRAYS}
    except Exception:  # whatever numpy, zipfile and zlib say of a file that is not ours
        return None
    return found if all(map(_fits, found.items())) else None


def _fits(item: tuple[str, NDArray[Any]]) -> bool:
    """Whether a cached array has the form that `ARRAYS` says."""
    (name, array) = item
    return isinstance(array, np.ndarray) and (array.ndim, array.dtype.kind) == ARRAYS[name]


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write beside, then rename: whoever reads or builds at the same time sees a whole file.

    Raises:
        ValueError: nothing can be written there.
    """
    fingerprint = np.array(path.stem.rpartition("-")[2])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".building-") as folder:
            part = Path(folder, path.name)
            np.savez(part, allow_pickle=False, fingerprint=fingerprint, **arrays)
            part.replace(path)
    except OSError as error:
        raise ValueError(
            f"the data of the task cannot be written to {path.parent} "
            f"({error.strerror or error}); give another folder by outputs="
        ) from error
