"""The base class of tasks of text: it reads and builds a corpus, and loads it by fingerprint."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from experiments.tasks.base import TaskData, TaskOptions, module_code_hashes
from experiments.tasks.corpora import (
    bpe,
    cache_files,
    corpus_arrays,
    normalisation,
    token_windows,
    windows,
)
from experiments.tasks.corpora.corpus_arrays import Split, build_arrays, split_evenly
from runner.config import Evaluation

BYTE_VALUES = 256


@dataclass(frozen=True)
class CorpusSource:
    """The present content of a corpus's source.

    Attributes:
        prepared: its fingerprint and, for the user's text, a summary of the files that were read.
        split: a function that returns, for each label, its training bytes and held-out documents.
        has_skipped_files: whether files of the user were skipped.
    """

    prepared: TaskData
    split: Callable[[], Mapping[str, Split]]
    has_skipped_files: bool = False


@dataclass
class CorpusOptions(TaskOptions):
    """Options of a task that predicts the bytes of a corpus, or tokens of a learned vocabulary.

    A task adds `source`, which reads the text, and `build`, which returns the task.

    Attributes:
        dedup_normalised: whether windows and training text are also compared in normalised form,
            which ignores white space, encoding and Unicode form.
    """

    symbols: ClassVar[bool] = True
    of_text: ClassVar[bool] = True
    has_tuning_data: ClassVar[bool] = True
    dedup_normalised: ClassVar[bool] = False

    @property
    def learned_vocabulary(self) -> int | None:
        """The size of the vocabulary that is learned from the training text; None for bytes."""
        return None

    @abstractmethod
    def source(self, cache: Path) -> CorpusSource:
        """Read the source and return its content; files in the results folder are not read.

        Raises:
            ValueError: the user's files are missing or unreadable.
        """

    def fingerprint_inputs(self) -> object:
        """Return the options and the hashes of the code that builds every corpus."""
        modules = [normalisation, corpus_arrays, windows]
        learned = [] if self.learned_vocabulary is None else [bpe.bpe_version()]
        if learned:
            modules += [bpe, token_windows]
        return [
            super().fingerprint_inputs(),
            module_code_hashes(*(module.__name__ for module in modules)),
            *learned,
        ]

    def fingerprint(self, cache: Path) -> str:
        """Return the fingerprint of the present content of the source."""
        return self.source(cache).prepared.fingerprint

    def prepare(
        self, cache: Path, evaluation: Evaluation = Evaluation.report, *, keep: bool = True
    ) -> TaskData:
        """Read the source, and build the cached corpus if it is missing or damaged.

        With keep=False the corpus is built to check that this works, and is not written.

        Raises:
            ValueError: the user's files are missing or unreadable, there is too little text, or
                there are too few held-out sequences for tuning.
        """
        source = self.source(cache)
        path = cache_files.cache_path(cache, self.kind, source.prepared.fingerprint)
        arrays = cache_files.load_arrays(path, ("labels", "tuning_free"))
        if arrays is None:
            try:
                arrays = self.arrays(source.split())
            except ValueError as error:
                if source.has_skipped_files:
                    raise ValueError(f"{error} ({source.prepared.summary})") from error
                raise
            if keep:
                cache_files.save_arrays(path, arrays)
        if evaluation is Evaluation.tuning:
            self._check_enough_for_tuning(arrays)
        return source.prepared

    def ensure_data(self, cache: Path, fingerprint: str) -> None:
        """Check that the corpus with this fingerprint exists, and build it again if it does not.

        Raises:
            ValueError: it is missing, and the content of its source has changed.
        """
        self.load(cache, fingerprint)

    def load(self, cache: Path, fingerprint: str = "") -> dict[str, NDArray[Any]]:
        """Return the arrays of the corpus with this fingerprint ("": of the present content).

        They are read from the cache file (`corpora.cache_files`). If it is missing or damaged, the
        corpus is built again, provided that its source still has this fingerprint.

        Raises:
            ValueError: the source has another fingerprint.
        """
        fingerprint = fingerprint or self.prepare(cache).fingerprint
        path = cache_files.cache_path(cache, self.kind, fingerprint)
        is_bytes = self.learned_vocabulary is None
        names = cache_files.ARRAYS if is_bytes else cache_files.TOKEN_ARRAYS
        arrays = cache_files.load_arrays(path, [*names])
        if arrays is None:
            source = self.source(cache)
            self.check_unchanged(fingerprint, source.prepared.fingerprint)
            arrays = self.arrays(source.split())
            cache_files.save_arrays(path, arrays)
        return arrays

    def arrays(self, splits: Mapping[str, Split]) -> dict[str, NDArray[Any]]:
        """Build the arrays of a corpus (`corpora.cache_files`), without the fingerprint."""
        sizes = self.sizes()
        return build_arrays(
            splits,
            sizes.length,
            sizes.n_eval,
            dedup_normalised=self.dedup_normalised,
            vocabulary_size=self.learned_vocabulary,
        )

    def _check_enough_for_tuning(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Raise ValueError where a label has too few held-out windows that the report leaves."""
        n_needed = split_evenly(self.sizes().n_eval, len(arrays["labels"]))
        for label, n, free in zip(arrays["labels"], n_needed, arrays["tuning_free"], strict=True):
            if free < n:
                raise ValueError(
                    f"{label}: tuning needs {n} held-out sequences of its own, there are {free}; "
                    f"lower task.n_eval or task.length, hold out more text, or use tune=none"
                )


def results_folder(cache: Path) -> Path:
    """Return the folder in which no text is read: the outputs folder that contains the cache.

    A cache folder with another name than `corpora` is itself this folder.
    """
    return cache.parent if cache.name == "corpora" else cache
