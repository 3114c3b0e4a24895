"""What tasks of text have in common: a corpus is read, built and found again by its fingerprint."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from experiments.tasks.base import TaskData, TaskOptions, module_code_hashes
from experiments.tasks.corpora import cache_files, corpus_arrays, normalisation, windows
from experiments.tasks.corpora.corpus_arrays import Split, build_arrays, split_evenly
from runner.config import Evaluation

BYTE_VALUES = 256


@dataclass(frozen=True)
class CorpusSource:
    """What the source of a corpus holds now.

    Attributes:
        ready: its fingerprint, and of the user's text what was read.
        split: returns for each label its training bytes, and the documents that are held out.
        left_out: whether something of the user's was not read.
    """

    prepared: TaskData
    split: Callable[[], Mapping[str, Split]]
    has_skipped_files: bool = False


@dataclass
class CorpusOptions(TaskOptions):
    """Options of a task that predicts the bytes of a corpus.

    A task adds `source`, what there is to read, and `build`, which returns the task.

    Attributes:
        any_form: no window occurs in training text that is only written another way; else, as it
            stands.
    """

    symbols: ClassVar[bool] = True
    has_tuning_data: ClassVar[bool] = True
    dedup_normalised: ClassVar[bool] = False

    @abstractmethod
    def source(self, cache: Path) -> CorpusSource:
        """Return what the source holds now. Nothing below the folder of results is read.

        Raises:
            ValueError: the user's files are missing or unreadable.
        """

    def fingerprint_inputs(self) -> object:
        """Return what a fingerprint covers of the code that every corpus is built by."""
        modules = (normalisation, corpus_arrays, windows)
        return [
            super().fingerprint_inputs(),
            module_code_hashes(*(module.__name__ for module in modules)),
        ]

    def fingerprint(self, cache: Path) -> str:
        """Return what stands for the text that the source holds now."""
        return self.source(cache).prepared.fingerprint

    def prepare(
        self, cache: Path, evaluation: Evaluation = Evaluation.report, *, keep: bool = True
    ) -> TaskData:
        """Read the source, and build the cached corpus where it is missing or damaged.

        Unless it is to be kept, it is built to see that it can be, and not written.

        Raises:
            ValueError: the user's files are missing or unreadable, there is too little text, or no
                held-out data for tuning beside the report's.
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
            self._check_enough(arrays)
        return source.prepared

    def ensure_data(self, cache: Path, fingerprint: str) -> None:
        """Make sure that the corpus of a fingerprint is there, which a trial was planned with.

        Raises:
            ValueError: it is lost, and its source holds other text by now.
        """
        self.load(cache, fingerprint)

    def load(self, cache: Path, fingerprint: str = "") -> dict[str, NDArray[Any]]:
        """Return the arrays of the fingerprint they were planned with ("": as they are now).

        They come from the cached file (`corpora.cached`). Where it is missing or damaged it is
        built again, if the source still has this fingerprint.

        Raises:
            ValueError: it has not.
        """
        fingerprint = fingerprint or self.prepare(cache).fingerprint
        path = cache_files.cache_path(cache, self.kind, fingerprint)
        arrays = cache_files.load_arrays(path)
        if arrays is None:
            source = self.source(cache)
            self.check_unchanged(fingerprint, source.prepared.fingerprint)
            arrays = self.arrays(source.split())
            cache_files.save_arrays(path, arrays)
        return arrays

    def arrays(self, splits: Mapping[str, Split]) -> dict[str, NDArray[Any]]:
        """Build the arrays of a corpus (`corpora.cached`) but for the fingerprint."""
        sizes = self.sizes()
        return build_arrays(
            splits, sizes.length, sizes.n_eval, dedup_normalised=self.dedup_normalised
        )

    def _check_enough(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Raise ValueError where a label has too few windows for tuning beside the report's."""
        wanted = split_evenly(self.sizes().n_eval, len(arrays["labels"]))
        for label, n, free in zip(arrays["labels"], wanted, arrays["tuning_free"], strict=True):
            if free < n:
                raise ValueError(
                    f"{label}: tuning needs {n} held-out sequences beside the {n} that the report "
                    f"uses, there are {free}; lower task.n_eval or task.length, hold out more "
                    f"text, or type tune=none"
                )


def results_folder(cache: Path) -> Path:
    """Return the folder in which no text is looked for: the outputs folder with the cache in it.

    A cache of another name than `corpora` stands alone.
    """
    return cache.parent if cache.name == "corpora" else cache
