"""The default task: real text of different domains, on which experts can specialise."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.rules import check_at_least
from experiments.tasks import task
from experiments.tasks.base import Sizes, TaskData, hash_json, module_code_hashes
from experiments.tasks.byte_text import ByteTextTask
from experiments.tasks.corpora import japanese, package_text
from experiments.tasks.corpora.base import BYTE_VALUES, CorpusOptions, CorpusSource
from experiments.tasks.corpora.corpus_arrays import Split, split_evenly
from runner.config import Evaluation

MAX_TEXT_BYTES = 50_000_000
"""A number of bytes that no domain reaches in any version of the packages."""
DOMAINS: dict[str, Callable[[], Iterator[str]]] = {
    "code": package_text.read_code,
    "english": package_text.read_english,
    "japanese": japanese.generate_japanese,
}
MAX_DOCUMENT_BYTES = 16_384  # a longer document is cut, so that no long file dominates
HELD_OUT_EVERY = 8  # one document of this many is held out
MIN_HELD_OUT = 8  # documents


@task("domains")
@dataclass
class Domains(CorpusOptions):
    """Byte-level language modelling on real text of labelled domains, from installed packages."""

    length: int
    domains: list[str]
    train_bytes: int
    n_eval: int

    def __post_init__(self) -> None:
        check_at_least(2, length=self.length)
        check_at_least(1, n_eval=self.n_eval, train_bytes=self.train_bytes)
        # Reading all packages before reporting that they have too little text would take seconds.
        for name, size in (
            ("train_bytes", self.train_bytes),
            ("n_eval * (length + 1)", self.n_eval * (self.length + 1)),
        ):
            if size > MAX_TEXT_BYTES:
                raise ValueError(
                    f"{name}={size} is more text than the installed packages hold; it must be at "
                    f"most {MAX_TEXT_BYTES}"
                )
        known = ", ".join(DOMAINS)
        if not self.domains or len(set(self.domains)) < len(self.domains):
            raise ValueError(
                f"domains={list(self.domains)} must name one or more of {known}, each once"
            )
        for name in self.domains:
            if name not in DOMAINS:
                raise ValueError(f"domains={name!r} is unknown; there are: {known}")

    def sizes(self) -> Sizes:
        """Return how large the task is."""
        return Sizes(
            self.length,
            n_outputs=BYTE_VALUES,
            n_eval=self.n_eval,
            data_bytes=self.train_bytes + self.n_eval * (self.length + 1),
        )

    def fingerprint_inputs(self) -> object:
        """Return the versions of the packages and the hashes of the code that reads them."""
        modules = (package_text, japanese)
        return [
            package_text.package_versions(),
            super().fingerprint_inputs(),
            module_code_hashes(*(module.__name__ for module in modules)),
        ]

    def source(self, cache: Path) -> CorpusSource:  # noqa: ARG002
        """Return the text of the installed packages, which is read only when it is split."""
        return CorpusSource(
            TaskData(hash_json([asdict(self), self.fingerprint_inputs()])), self.split
        )

    def split(self) -> Mapping[str, Split]:
        """Read each domain until it has enough training text and enough held-out text."""
        n_windows = dict(
            zip(self.domains, split_evenly(self.n_eval, len(self.domains)), strict=True)
        )
        return {
            name: read_domain(
                name, self.train_bytes, max(4 * n * (self.length + 1), self.train_bytes // 16)
            )
            for name, n in n_windows.items()
        }

    def build(
        self,
        *,
        seed: int,
        batch_size: int,
        cache: Path,
        data: str = "",
        evaluation: Evaluation = Evaluation.report,
    ) -> "DomainsTask":
        """Return the task."""
        return DomainsTask(
            self, seed=seed, batch_size=batch_size, cache=cache, data=data, evaluation=evaluation
        )


class DomainsTask(ByteTextTask):
    r"""Byte-level language modelling on code, English and Japanese from installed packages.

    A sample of each label (length 64). Japanese is UTF-8 with three bytes a character; this sample
    begins inside of a character:

        code      |:\n        if isinstance(obj, list):\n            l.append(tuple_n|
        english   |Execution of Python coroutines can be suspended and resumed at m|
        japanese  |..ルディブ ルフィア、フィリピン ペソ\n2056年9月|
        target    the same, one byte later

    Split: a hash of its text decides whether a document (file, help topic, Japanese record) is
    held out, one in eight. Equal documents count once. No evaluation window occurs in any training
    text. Tuning has windows of its own.
    Fingerprint: versions of Python and the packages, options, and the code that reads them.
    """


def read_domain(name: str, train_bytes: int, held_out_bytes: int) -> Split:
    """Read documents of a domain until training text and held-out text have these sizes.

    Raises:
        ValueError: the domain has too little text.
    """
    digests: set[bytes] = set()
    train, held_out = bytearray(), []
    missing = held_out_bytes
    for document in map(_cut_document, DOMAINS[name]()):
        digest = hashlib.sha256(document).digest()
        # Equal documents count once.
        if digest in digests:
            continue
        digests.add(digest)
        # The hash decides the side, so a document has the same one in any order and version.
        if digest[0] % HELD_OUT_EVERY == 0:
            held_out.append(document)
            missing -= len(document)
        elif len(train) < train_bytes:
            train += document
        if len(train) >= train_bytes and missing <= 0 and len(held_out) >= MIN_HELD_OUT:
            return Split(bytes(train[:train_bytes]), held_out)
    raise ValueError(
        f"domain {name} has {len(train)} bytes of training text and {held_out_bytes - missing} "
        f"held out; it needs task.train_bytes={train_bytes} and {held_out_bytes}. Lower "
        f"task.train_bytes, task.n_eval or task.length"
    )


def _cut_document(text: str) -> bytes:
    """Return whole lines of at most `MAX_DOCUMENT_BYTES` in total."""
    data = text.encode() + b"\n"
    return (
        data
        if len(data) <= MAX_DOCUMENT_BYTES
        else data[: data.rfind(b"\n", 0, MAX_DOCUMENT_BYTES) + 1]
    )
