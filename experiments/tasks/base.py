"""What the options of every task have in common, and what a plan asks of them. No torch."""

import functools
import hashlib
import json
import sys
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from runner.config import Evaluation
from runner.records.module_source import syntax_digest

if TYPE_CHECKING:
    from experiments.tasks.batch import Task


@dataclass(frozen=True)
class Sizes:
    """How large a task is, as far as costs and memory depend on it.

    Attributes:
        length: tokens of the longest target, and of a sequence that has no other source.
        source_length: tokens of the longest source, where a task is of pairs.
        outputs: numbers predicted for a token, at the least: symbols of a vocabulary, or features.
        n_train: sequences to learn from, where a batch cannot have more; None where it can.
        n_eval: held-out sequences, at the least.
        data_bytes: bytes of the data that a trial holds while it lasts, at the least.
    """

    length: int
    source_length: int = 0
    n_outputs: int = 1
    n_train: int | None = None
    n_eval: int = 1
    data_bytes: int = 0


@dataclass(frozen=True)
class TaskData:
    """Data that are ready for trials.

    Attributes:
        fingerprint: what they are found by.
        line: what was read, for the user; empty for data that are not the user's.
        source: where the user's text is, as typed; empty where there is none.
        evidence: a hash of what was read there, whatever the options make of it.
    """

    fingerprint: str
    summary: str = ""
    text_path: str = ""
    content_hash: str = ""


@dataclass
class TaskOptions(ABC):
    """The options of a task: each field is a key of `task.*`, each broken rule a ValueError.

    A task adds its fields, its rules in `__post_init__`, `sizes` and `build`. Data that are drawn
    when they are needed, as a function of the options, need no more. What is declared here says
    what else a task has; probes and plans ask for it by these names.

    Values of our tasks stand in YAML files: their fields have no defaults, so that a forgotten key
    is an error. A field of a plug-in may have one, which spares it the file.

    Attributes:
        kind: the name of the task.
        pairs: it is of sentences and their translations, which an encoder-decoder learns from.
        symbols: its inputs are ids of symbols, and no real numbers.
        repeats: its sequences repeat themselves behind their first symbol, so that models can copy.
        planted: its sequences depend on a step that lies `Task.lags` back.
        numerals: its sentences are numbers, which are scored by their digits too.
        second_held_out: it can hold out other data than the report's, for tuning to choose by:
            `build` takes `evaluation` and gives the data of it.
    """

    pairs: ClassVar[bool] = False
    symbols: ClassVar[bool] = False
    repeats: ClassVar[bool] = False
    has_planted_lags: ClassVar[bool] = False
    numerals: ClassVar[bool] = False
    has_tuning_data: ClassVar[bool] = False

    kind: str

    @abstractmethod
    def sizes(self) -> Sizes:
        """Return how large the task is."""

    @abstractmethod
    def build(
        self,
        *,
        seed: int,
        batch_size: int,
        cache: Path,
        data: str = "",
        evaluation: Evaluation = Evaluation.report,
    ) -> "Task":
        """Return the task behind these options. Imports torch.

        Args:
            seed: decides the order of training batches and nothing else.
            batch_size: sequences of a batch.
            cache: the folder of prepared corpora.
            data: the fingerprint of the data that were planned; "" takes them as they are now.
            evaluation: which held-out data `Task.evaluation` gives.

        Raises:
            ValueError: the data that were planned are lost.
        """

    def fingerprint_inputs(self) -> object:
        """Return what a fingerprint covers beside the options, as JSON data.

        That is the code of the file of the task, and of those its options inherit from. A task
        that reads data adds their contents or version.
        """
        classes = [cls for cls in type(self).__mro__ if issubclass(cls, TaskOptions)]
        return module_code_hashes(*(cls.__module__ for cls in classes if cls is not TaskOptions))

    def fingerprint(self, cache: Path) -> str:  # noqa: ARG002
        """Return what stands for the data as they are now: a hash of options and evidence."""
        return hash_json([asdict(self), self.fingerprint_inputs()])

    def prepare(
        self,
        cache: Path,
        evaluation: Evaluation = Evaluation.report,
        *,
        keep: bool = True,  # noqa: ARG002
    ) -> TaskData:
        """Make the data ready, on disk where they are to be kept.

        Raises:
            ValueError: they cannot be had, or there are none for tuning beside the report's.
        """
        if evaluation is Evaluation.tuning:
            self.check_tuning()
        return TaskData(self.fingerprint(cache))

    def ensure_data(self, cache: Path, fingerprint: str) -> None:
        """Make sure that the data of a fingerprint are there, which a trial was planned with.

        Raises:
            ValueError: they are lost, and their source holds other data by now.
        """
        self.check_unchanged(fingerprint, self.fingerprint(cache))

    def check_unchanged(self, planned: str, now: str, what: str = "its source") -> None:
        """Raise ValueError where the source of the data has another fingerprint than planned."""
        if planned != now:
            raise ValueError(
                f"task={self.kind}: {what} has changed since this trial was planned (data "
                f"{planned}, now {now}); run the command again to plan with what is there now"
            )

    def check_tuning(self) -> None:
        """Raise ValueError where there are no held-out data for tuning beside the report's."""
        if not self.has_tuning_data:
            raise ValueError(
                f"task={self.kind} has one set of held-out data, which the report uses, and "
                f"tuning needs another; type tune=none, or choose another task"
            )


def module_code_hashes(*modules: str) -> list[str]:
    """Return hashes of the code of imported modules, the same whatever their docstrings say."""
    return [_code_of(name) for name in modules]


@functools.cache
def _code_of(module: str) -> str:
    path = sys.modules[module].__file__
    assert path is not None, f"{module} has no file"
    return syntax_digest(Path(path))


def hash_json(evidence: object) -> str:
    """Return a short hash of JSON data; what is none counts as its text."""
    text = json.dumps(evidence, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
