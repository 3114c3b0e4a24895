"""Language modelling on the user's own files: `task=text task.path='my/**/*.md'`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from experiments.rules import check_at_least
from experiments.tasks import task
from experiments.tasks.base import Sizes, TaskData, hash_json, module_code_hashes
from experiments.tasks.byte_text import ByteTextTask
from experiments.tasks.corpora import file_search, labels, user_text
from experiments.tasks.corpora.base import BYTE_VALUES, CorpusOptions, CorpusSource, results_folder
from experiments.tasks.corpora.corpus_arrays import Split
from runner.config import Evaluation


@task("text")
@dataclass
class Text(CorpusOptions):
    """Byte-level language modelling on the user's files: documents, in folders that are domains."""

    dedup_normalised: ClassVar[bool] = True

    length: int
    path: str
    eval_share: float
    n_eval: int

    def __post_init__(self) -> None:
        check_at_least(2, length=self.length)
        check_at_least(1, n_eval=self.n_eval)
        if not self.path:
            raise ValueError("path is empty; give a file or a glob, e.g. task.path='my/*.md'")
        if "\0" in self.path or not _is_valid(self.path):
            raise ValueError(
                f"path={self.path!r} is no path in UTF-8; rename what it names, or give a pattern "
                f"(?, *) or the folder above it"
            )
        if not 0 < self.eval_share < 1:
            raise ValueError(f"eval_share={self.eval_share} must lie in (0, 1)")

    def sizes(self) -> Sizes:
        """Return how large the task is; nobody knows yet how much text there is."""
        held_out = self.n_eval * (self.length + 1)
        return Sizes(self.length, n_outputs=BYTE_VALUES, n_eval=self.n_eval, data_bytes=held_out)

    def fingerprint_inputs(self) -> object:
        """Return what a fingerprint covers of the code that reads the files."""
        modules = (user_text, file_search, labels)
        return [
            super().fingerprint_inputs(),
            module_code_hashes(*(module.__name__ for module in modules)),
        ]

    def source(self, cache: Path) -> CorpusSource:
        """Read the files; the fingerprint is of what they hold, wherever they lie.

        Raises:
            ValueError: they are missing or unreadable.
        """
        reading = user_text.read_documents(self.path, results_folder(cache))
        settings = {key: value for key, value in asdict(self).items() if key != "path"}
        evidence = reading.fingerprint_inputs()
        splits = split_documents(reading.documents, self.eval_share)
        held_out = sum(len(text) for part in splits.values() for text in part.held_out)
        ready = TaskData(
            hash_json([settings, [evidence, self.fingerprint_inputs()]]),
            reading.summary(held_out),
            self.path,
            hash_json(evidence),
        )
        return CorpusSource(ready, lambda: splits, has_skipped_files=bool(reading.skipped.total()))

    def check_unchanged(self, planned: str, now: str, what: str = "") -> None:
        """Raise ValueError where the text is another than planned."""
        super().check_unchanged(planned, now, what or f"the text of task.path={self.path!r}")

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
    """Byte-level language modelling on text files; each is a document, each folder a label.

    A sample of `task.path='notes/**/*.md'` with folders notes/garden and notes/work (length 32):

        garden    |Sow beans after the last frost. |
        work      |Minutes of the meeting on Monday|
        target    the same, one byte later

    Split: whole files are held out, in the order of a hash of their contents, until they are
    `eval_share` of a label's bytes; where a label has one file, its tail is. Files that hold the
    same text, however it is written, are one document (`tasks.corpora.alike`). No evaluation window
    occurs in the training text, written in whatever way. Tuning has windows of its own, of other
    documents as far as there are. Fingerprint: labels and contents of the files, options, and
    the code that reads them.
    """


def split_documents(
    documents: Mapping[str, Sequence[bytes]], eval_share: float
) -> dict[str, Split]:
    """Return for each label its training bytes, and the documents that are held out."""
    return {
        label: Split(*user_text.split_held_out(found, eval_share))
        for label, found in documents.items()
    }


def _is_valid(text: str) -> bool:
    """Tell whether text is UTF-8: other names reach Python with lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
