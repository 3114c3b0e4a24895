"""The base class of the options of every task, and the sizes and data that a plan needs.

Does not import torch.
"""

import functools
import hashlib
import json
import sys
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from runner.config import Evaluation

if TYPE_CHECKING:
    from experiments.tasks.batch import Task


@dataclass(frozen=True)
class Sizes:
    """The sizes of a task on which costs and memory depend.

    Attributes:
        length: tokens of the longest sequence; in a task of pairs, of the longest target.
        source_length: tokens of the longest source; 0 if the task is not one of pairs.
        n_outputs: numbers predicted for a token, at least: symbols of a vocabulary, or features.
        n_train: training sequences, if they limit the size of a batch; None if they do not.
        n_eval: held-out sequences, at least.
        data_bytes: bytes of data that a trial holds in memory, at least.
    """

    length: int
    source_length: int = 0
    n_outputs: int = 1
    n_train: int | None = None
    n_eval: int = 1
    data_bytes: int = 0


@dataclass(frozen=True)
class TaskData:
    """The record of prepared data.

    Attributes:
        fingerprint: the key of the data in the cache.
        summary: a line for the user on the files that were read; empty for other data.
        text_path: the path of the user's text as on the command line; empty without one.
        content_hash: a hash of the user's text, independent of the options.
    """

    fingerprint: str
    summary: str = ""
    text_path: str = ""
    content_hash: str = ""


@dataclass
class TaskOptions(ABC):
    """The options of a task. Each field is a key of `task.*`; a broken rule raises ValueError.

    A task adds its fields, its rules in `__post_init__`, `sizes` and `build`. A task whose data
    are drawn from a random generator needs no more. The class attributes declare properties of the
    task, which probes and plans read.

    YAML files in conf/ hold the values of this package's tasks. Their fields have no defaults, so
    that a missing key is an error. A field of a plug-in may have a default; it then needs no YAML
    file.

    Attributes:
        kind: the name of the task.
        pairs: whether a sample is a sentence and its translation, for an encoder-decoder.
        symbols: whether inputs are ids of symbols; otherwise they are real numbers.
        repeats: whether sequences repeat after their first symbol, so that models can copy.
        has_planted_lags: whether a step depends on the step that is `Task.lags` steps earlier.
        numerals: whether sentences are numbers, which are also scored by their digits.
        of_text: whether the bytes of its held-out text are known, for losses per byte.
        has_tuning_data: whether there are held-out data for tuning, apart from the report's.
            `build` then takes `evaluation` and returns the task with these data.
        code_modules: further modules whose code is part of the code hash of its trials.
    """

    pairs: ClassVar[bool] = False
    symbols: ClassVar[bool] = False
    repeats: ClassVar[bool] = False
    has_planted_lags: ClassVar[bool] = False
    numerals: ClassVar[bool] = False
    of_text: ClassVar[bool] = False
    has_tuning_data: ClassVar[bool] = False
    code_modules: ClassVar[tuple[str, ...]] = ()

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
        """Return the task of these options. May import torch.

        Args:
            seed: the seed of training batches, and of nothing else.
            batch_size: sequences of a batch.
            cache: the folder of prepared corpora.
            data: the fingerprint of the planned data; "" uses the present data.
            evaluation: the held-out data of `Task.evaluation`: the report's or tuning's.

        Raises:
            ValueError: the planned data no longer exist.
        """

    def fingerprint_inputs(self) -> object:
        """Return the inputs of the fingerprint other than the options, as JSON data.

        These are hashes of the code of the task's file, and of the files of its base classes. A
        task that reads data adds their contents or version.
        """
        classes = [cls for cls in type(self).__mro__ if issubclass(cls, TaskOptions)]
        return module_code_hashes(*(cls.__module__ for cls in classes if cls is not TaskOptions))

    def fingerprint(self, cache: Path) -> str:  # noqa: ARG002
        """Return the fingerprint of the present data: a hash of options and other inputs."""
        return hash_json([asdict(self), self.fingerprint_inputs()])

    def prepare(
        self,
        cache: Path,
        evaluation: Evaluation = Evaluation.report,
        *,
        keep: bool = True,  # noqa: ARG002
    ) -> TaskData:
        """Prepare the data, in the folder `cache` if they are stored, and return their record.

        Args:
            cache: the folder of prepared corpora.
            evaluation: the held-out data that trials will use.
            keep: whether to store the data; False only checks that they can be prepared.

        Raises:
            ValueError: the data cannot be read, or tuning has no held-out data of its own.
        """
        if evaluation is Evaluation.tuning:
            self.check_tuning()
        return TaskData(self.fingerprint(cache))

    def ensure_data(self, cache: Path, fingerprint: str) -> None:
        """Prepare the data with which a trial was planned, if they are missing.

        Raises:
            ValueError: they are missing, and their source has changed.
        """
        self.check_unchanged(fingerprint, self.fingerprint(cache))

    def check_unchanged(self, planned: str, now: str, source_name: str = "its source") -> None:
        """Raise ValueError if the fingerprint of the source, `now`, is not the planned one."""
        if planned != now:
            raise ValueError(
                f"task={self.kind}: {source_name} has changed since this trial was planned (data "
                f"{planned}, now {now}); run the command again to plan with the present data"
            )

    def check_tuning(self) -> None:
        """Raise ValueError if tuning has no held-out data apart from the report's."""
        if not self.has_tuning_data:
            raise ValueError(
                f"task={self.kind} has one set of held-out data, which the report uses, and "
                f"tuning needs another; set tune=none, or choose another task"
            )


def module_code_hashes(*modules: str) -> list[str]:
    """Return hashes of the code of imported modules, without docstrings and comments."""
    return [_module_code_hash(name) for name in modules]


@functools.cache
def _module_code_hash(module: str) -> str:
    path = sys.modules[module].__file__
    assert path is not None, f"{module} has no file"
    from runner.records.module_source import syntax_digest  # not needed at start-up

    return syntax_digest(Path(path))


def hash_json(data: object) -> str:
    """Return a short hash of JSON data; other objects count as their text."""
    text = json.dumps(data, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
