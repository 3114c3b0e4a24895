"""Language modelling on the user's files: `task=text task.path='my/**/*.md'`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from experiments.rules import check_at_least
from experiments.tasks import task
from experiments.tasks.base import Sizes, TaskData, hash_json, module_code_hashes
from experiments.tasks.byte_text import ByteTextTask
from experiments.tasks.corpora import bpe, file_search, labels, user_text
from experiments.tasks.corpora.base import BYTE_VALUES, CorpusOptions, CorpusSource, results_folder
from experiments.tasks.corpora.corpus_arrays import Split
from runner.config import Evaluation


class Tokenizer(StrEnum):
    """The tokens of a text: its bytes, or the tokens of a vocabulary that is learned from it."""

    bytes = "bytes"
    bpe = "bpe"


@task("text")
@dataclass
class Text(CorpusOptions):
    """Language modelling on the user's files; each folder is a domain."""

    dedup_normalised: ClassVar[bool] = True

    length: int
    path: str
    eval_share: float
    n_eval: int
    tokenizer: Tokenizer = Tokenizer.bytes
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        check_at_least(2, length=self.length)
        self._check_vocabulary()
        check_at_least(1, n_eval=self.n_eval)
        if not self.path:
            raise ValueError("path is empty; give a file or a glob, e.g. task.path='my/*.md'")
        if "\0" in self.path or not _is_valid(self.path):
            raise ValueError(
                f"path={self.path!r} is not valid UTF-8; rename the file, or give a pattern (?, *) "
                f"or the folder that contains it"
            )
        if not 0 < self.eval_share < 1:
            raise ValueError(f"eval_share={self.eval_share} must lie in (0, 1)")

    def _check_vocabulary(self) -> None:
        """Raise ValueError where the vocabulary does not fit the tokenizer."""
        if self.tokenizer is Tokenizer.bytes:
            if self.vocabulary is not None:
                raise ValueError(
                    f"vocabulary={self.vocabulary} needs tokenizer=bpe; tokenizer=bytes has the "
                    f"{BYTE_VALUES} bytes"
                )
            return
        if self.vocabulary is None:
            raise ValueError("tokenizer=bpe needs a vocabulary, e.g. task.vocabulary=4096")
        if not bpe.MIN_VOCABULARY <= self.vocabulary <= bpe.MAX_VOCABULARY:
            raise ValueError(
                f"vocabulary={self.vocabulary} must lie between {bpe.MIN_VOCABULARY} and "
                f"{bpe.MAX_VOCABULARY}"
            )
        bpe.check_bpe_available()

    @property
    def learned_vocabulary(self) -> int | None:
        """The size of the vocabulary that is learned from the training text; None for bytes."""
        return self.vocabulary

    def sizes(self) -> Sizes:
        """Return how large the task is, without the training text, which is not read yet."""
        held_out = self.n_eval * (self.length + 1)
        return Sizes(
            self.length,
            n_outputs=self.vocabulary or BYTE_VALUES,
            n_eval=self.n_eval,
            data_bytes=held_out if self.vocabulary is None else 2 * held_out,
        )

    def fingerprint_inputs(self) -> object:
        """Return the hashes of the code that reads the files."""
        modules = (user_text, file_search, labels)
        return [
            super().fingerprint_inputs(),
            module_code_hashes(*(module.__name__ for module in modules)),
        ]

    def source(self, cache: Path) -> CorpusSource:
        """Read the files and return their splits, with a fingerprint of contents, not of paths.

        Raises:
            ValueError: the files are missing or unreadable.
        """
        reading = user_text.read_documents(self.path, results_folder(cache))
        settings = {key: value for key, value in asdict(self).items() if key != "path"}
        if self.vocabulary is None:  # data of bytes have the fingerprint that they always had
            del settings["tokenizer"], settings["vocabulary"]
        contents = reading.fingerprint_inputs()
        splits = split_documents(reading.documents, self.eval_share)
        n_held_out_bytes = sum(len(text) for part in splits.values() for text in part.held_out)
        task_data = TaskData(
            hash_json([settings, [contents, self.fingerprint_inputs()]]),
            reading.summary(n_held_out_bytes),
            self.path,
            hash_json(contents),
        )
        return CorpusSource(
            task_data, lambda: splits, has_skipped_files=bool(reading.skipped.total())
        )

    def check_unchanged(self, planned: str, now: str, source_name: str = "") -> None:
        """Raise ValueError if the fingerprint of the text, `now`, is not the planned one."""
        super().check_unchanged(planned, now, source_name or f"the text of task.path={self.path!r}")

    def build(
        self,
        *,
        seed: int,
        batch_size: int,
        cache: Path,
        data: str = "",
        evaluation: Evaluation = Evaluation.report,
    ) -> "TextTask":
        """Return the task."""
        return TextTask(
            self, seed=seed, batch_size=batch_size, cache=cache, data=data, evaluation=evaluation
        )


class TextTask(ByteTextTask):
    """Language modelling on text files; each is a document, each folder a label.

    A sample of `task.path='notes/**/*.md'` with folders notes/garden and notes/work (length 32):

        garden    |Sow beans after the last frost. |
        work      |Minutes of the meeting on Monday|
        target    the same, one byte later

    Split: for each label, whole files are held out, in the order of a hash of their contents, until
    they have `eval_share` of its bytes. If a label has one file, the end of the file is held out.
    Files with the same text are one document, even if they differ in white space, encoding or
    Unicode form (`tasks.corpora.normalisation`). No evaluation window occurs in the training text,
    in any of these forms. Tuning has windows of its own, from other documents if there are enough.

    Tokens: with tokenizer=bpe, a vocabulary of `task.vocabulary` tokens is learned from the
    training text alone (`corpora.bpe`). Windows of tokens follow the same rule in bytes. No
    `length` consecutive bytes of a window occur in the training text. No piece of `length` + 1
    bytes occurs there with other white space, encoding or Unicode form.

    A window of tokens has more bytes than one of bytes. So arms with different vocabularies are
    evaluated on different stretches of the same held-out documents, and with different context.
    `val/nats_per_byte` compares them.
    Fingerprint: labels and contents of the files, options, the code that reads them, and for tokens
    the version of the package tokenizers.
    """


def split_documents(
    documents: Mapping[str, Sequence[bytes]], eval_share: float
) -> dict[str, Split]:
    """Return the training bytes and the held-out documents of each label."""
    return {
        label: Split(*user_text.split_held_out(texts, eval_share))
        for label, texts in documents.items()
    }


def _is_valid(text: str) -> bool:
    """Return whether text is UTF-8. Python decodes other file names to lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
