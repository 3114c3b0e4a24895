"""Language modelling on the user's token ids: `task=tokens task.path=data/train.bin`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from experiments.rules import check_at_least
from experiments.tasks import task
from experiments.tasks.base import Sizes, TaskData, TaskOptions, hash_json, module_code_hashes
from experiments.tasks.batch import Batch
from experiments.tasks.corpora import cache_files, token_files, token_split, windows
from experiments.tasks.corpora.base import results_folder
from experiments.tasks.corpora.file_search import find_files
from experiments.tasks.corpora.token_split import Segment
from experiments.tasks.symbols import SymbolsTask
from runner.config import Evaluation

CACHED = ("windows", "tuning_windows", "counts")


class IdType(StrEnum):
    """The type of the ids in a `.bin` file, little-endian."""

    uint16 = "uint16"
    uint32 = "uint32"


@dataclass(frozen=True)
class TokenSides:
    """The segments of both sides, with the fingerprint of their content.

    Attributes:
        n_left_out: files that `path` names and that are held out.
    """

    train: Sequence[Segment]
    held_out: Sequence[Segment]
    fingerprint: str
    content_hash: str
    n_left_out: int


@task("tokens")
@dataclass
class Tokens(TaskOptions):
    """Language modelling on token ids from `.bin` or `.npy` files."""

    symbols: ClassVar[bool] = True
    has_tuning_data: ClassVar[bool] = True

    length: int
    path: str
    held_out_path: str
    vocabulary: int
    dtype: IdType
    eval_share: float
    document_id: int | None
    bytes_per_token: float | None
    n_eval: int

    def __post_init__(self) -> None:
        check_at_least(2, length=self.length, vocabulary=self.vocabulary)
        check_at_least(1, n_eval=self.n_eval)
        if not self.path:
            raise ValueError("path is empty; give a file or a glob, e.g. task.path=data/train.bin")
        if "\0" in self.path + self.held_out_path:
            raise ValueError("a path has a NUL character, which no file name has")
        if not 0 < self.eval_share < 1:
            raise ValueError(f"eval_share={self.eval_share} must lie in (0, 1)")
        if self.document_id is not None and not 0 <= self.document_id < self.vocabulary:
            raise ValueError(
                f"document_id={self.document_id} must be an id of the vocabulary, 0 to "
                f"{self.vocabulary - 1}"
            )
        if self.document_id is not None and self.held_out_path:
            raise ValueError(
                "document_id is for a split of one path; leave out held_out_path or it"
            )
        if self.bytes_per_token is not None and not self.bytes_per_token > 0:
            raise ValueError(f"bytes_per_token={self.bytes_per_token} must be above 0")

    @property
    def of_text(self) -> bool:  # type: ignore[override]
        """Whether the bytes of a token are known, for losses per byte."""
        return self.bytes_per_token is not None

    def sizes(self) -> Sizes:
        """Return how large the task is; a trial holds only its held-out windows."""
        return Sizes(
            self.length,
            n_outputs=self.vocabulary,
            n_eval=self.n_eval,
            data_bytes=2 * self.n_eval * (self.length + 1),
        )

    def fingerprint_inputs(self) -> object:
        """Return the hashes of the code that reads and splits the files."""
        modules = (token_files, token_split, windows)
        return [
            super().fingerprint_inputs(),
            module_code_hashes(*(module.__name__ for module in modules)),
        ]

    def fingerprint(self, cache: Path) -> str:
        """Return the fingerprint of the present content of the files."""
        return self.sides(cache, keep=False).fingerprint

    def sides(self, cache: Path, *, keep: bool) -> TokenSides:
        """Check the files and return both sides; with `keep`, the index of contents is written.

        Raises:
            ValueError: a file is missing or has a wrong format, or an id is outside the vocabulary.
        """
        paths = self._find("path", cache)
        held_out_paths = self._find("held_out_path", cache) if self.held_out_path else []
        train_paths = token_files.leave_out(paths, held_out_paths)
        if not train_paths:
            raise ValueError(
                f"task.path={self.path!r} has no file that task.held_out_path="
                f"{self.held_out_path!r} has not, so nothing is left to train on; give other files"
            )
        files = self._open("path", train_paths)
        others = self._open("held_out_path", held_out_paths)
        digests = []
        for file in [*files, *others]:
            content = token_files.read_content(file, cache, keep=keep)
            token_files.check_ids(file, content, self.vocabulary)
            digests.append(content.digest)
        for file, digest in zip(others, digests[len(files) :], strict=True):
            if digest in digests[: len(files)]:
                copy = files[digests.index(digest)]
                raise ValueError(
                    f"task.held_out_path: {file.name} has the same ids as {copy.name}, which is "
                    "for training; leave out one of them"
                )
        if others:
            train, held_out = ([Segment(f, 0, f.n) for f in part] for part in (files, others))
        else:
            train, held_out = token_split.split_segments(files, self.eval_share, self.document_id)
        n_train = sum(max(0, len(segment) - self.length) for segment in train)
        if not n_train:
            raise ValueError(
                f"task.path={self.path!r}: no file has the {self.length + 1} ids to train on that "
                f"length={self.length} needs; lower task.length, or give more tokens"
            )
        contents = [digests[: len(files)], digests[len(files) :]]
        types = [file.dtype for file in [*files, *others]]
        settings = {k: v for k, v in asdict(self).items() if k not in ("path", "held_out_path")}
        fingerprint = hash_json([settings, contents, types, self.fingerprint_inputs()])
        return TokenSides(
            train, held_out, fingerprint, hash_json(contents), len(paths) - len(files)
        )

    def _find(self, name: str, cache: Path) -> list[Path]:
        """Return the paths of the files that an option names, in a fixed order."""
        try:
            return find_files(str(getattr(self, name)), results_folder(cache)).files
        except ValueError as error:
            message = str(error).replace("task.path=", f"task.{name}=")
            raise ValueError(message.replace("notes/**/*.md", "data/*.bin")) from error

    def _open(self, name: str, paths: Sequence[Path]) -> list[token_files.TokenFile]:
        """Return the files of an option."""
        files = []
        for path in paths:
            try:
                files.append(token_files.open_token_file(path, self.dtype.value))
            except ValueError as error:
                raise ValueError(f"task.{name}={getattr(self, name)!r}: {error}") from error
        return files

    def prepare(
        self, cache: Path, evaluation: Evaluation = Evaluation.report, *, keep: bool = True
    ) -> TaskData:
        """Check the files, and choose the held-out windows if the cache has none.

        Raises:
            ValueError: the files are missing or have a wrong format, or there are too few windows.
        """
        sides = self.sides(cache, keep=keep)
        arrays = self._arrays(sides, cache, keep=keep)
        if evaluation is Evaluation.tuning and len(arrays["tuning_windows"]) < self.n_eval:
            raise ValueError(
                f"tuning needs {self.n_eval} held-out sequences of its own; lower task.n_eval or "
                "task.length, hold out more tokens, or use tune=none"
            )
        n_checked, n_known, n_train, n_searched, n_held_out = arrays["counts"].tolist()
        known = f"{n_known} of {n_checked} held-out windows occur in {n_searched:,} training ids"
        unused = ", which are not used" if n_known else ""
        summary = (
            f"tokens: {n_train:,} to train on, {n_held_out:,} held out; {known} that were searched"
        )
        if sides.n_left_out:
            n = sides.n_left_out
            unused += (
                f"; {n} files of path are held out" if n > 1 else "; 1 file of path is held out"
            )
        return TaskData(
            sides.fingerprint,
            summary + unused,
            ", ".join(filter(None, [self.path, self.held_out_path])),
            sides.content_hash,
        )

    def _arrays(self, sides: TokenSides, cache: Path, *, keep: bool) -> dict[str, NDArray[Any]]:
        """Return the held-out windows and counts, from the cache or from the files."""
        path = cache_files.cache_path(cache, self.kind, sides.fingerprint)
        arrays = cache_files.load_arrays(path, CACHED)
        if arrays is not None:
            return arrays
        chosen = token_split.choose_windows(sides.train, sides.held_out, self.length, self.n_eval)
        counts = chosen.n_checked, chosen.n_known, chosen.n_train, chosen.n_searched
        n_held_out = sum(map(len, sides.held_out))
        arrays = {
            "windows": chosen.report.astype(np.uint32),
            "tuning_windows": chosen.tuning.astype(np.uint32),
            "counts": np.array([*counts, n_held_out]),
        }
        if keep:
            cache_files.save_arrays(path, arrays)
        return arrays

    def build(
        self,
        *,
        seed: int,
        batch_size: int,
        cache: Path,
        data: str = "",
        evaluation: Evaluation = Evaluation.report,
    ) -> "TokensTask":
        """Return the task.

        Raises:
            ValueError: the files have another content than the planned one.
        """
        sides = self.sides(cache, keep=True)
        if data:
            self.check_unchanged(data, sides.fingerprint)
        arrays = self._arrays(sides, cache, keep=True)
        prefix = "tuning_" if evaluation is Evaluation.tuning else ""
        return TokensTask(
            self, sides.train, arrays[f"{prefix}windows"], seed=seed, batch_size=batch_size
        )

    def check_unchanged(self, planned: str, now: str, source_name: str = "") -> None:
        """Raise ValueError if the fingerprint of the tokens, `now`, is not the planned one."""
        name = source_name or f"the content of task.path={self.path!r}"
        super().check_unchanged(planned, now, name)


class TokensTask(SymbolsTask):
    """Predict each token id from the ids before it.

    inputs and target are (batch, length) int64 in 0..vocabulary - 1, the target one step ahead. The
    loss is the cross-entropy in nats per token; with `bytes_per_token` also per byte.

    Split: the last `eval_share` of the ids is held out, in the order of the files' names. With
    `document_id` it begins after the next such id, so that whole documents are held out. With
    `held_out_path` those files are held out. If `path` names them too, they are not trained on.
    Windows of the report and of tuning are spread over the held-out ids and do not overlap. A
    window is not used if `length` consecutive ids of it occur in the training ids. Up to 67 million
    training ids are searched, in 64 blocks spread over all. A note says how many windows and ids
    were compared.
    Memory: a batch reads its windows from the files. A trial holds no other training ids.
    Fingerprint: a SHA-256 of the whole content of the files, options and this code. The first
    command reads each file once, in chunks of 16 MiB. Later commands trust its size, its time of
    modification and its inode.
    """

    labels = ("tokens",)

    def __init__(
        self,
        options: Tokens,
        train: Sequence[Segment],
        held_out: NDArray[Any],
        *,
        seed: int,
        batch_size: int,
    ) -> None:
        super().__init__(seed=seed, batch_size=batch_size)
        self.vocabulary = options.vocabulary
        self.unit = f"nats/token of {self.vocabulary}"
        self.held_out = held_out, np.zeros(len(held_out), np.int64)
        if options.bytes_per_token is not None:
            self.n_held_out_bytes = options.bytes_per_token * held_out[:, 1:].size
        self._length = options.length
        self._train = [segment for segment in train if len(segment) > options.length]
        # A window starts anywhere in a segment, and ends in it.
        self._ends = np.cumsum([len(segment) - options.length for segment in self._train])

    def batch(self, step: int) -> Batch:
        """Return windows from random places, each place of training equally likely.

        Raises:
            ValueError: a file has changed.
        """
        rng = np.random.default_rng([self.seed, step])
        for file in {segment.file for segment in self._train}:
            file.check_unchanged()
        rows = []
        for start in rng.integers(self._ends[-1], size=self.batch_size).tolist():
            index = int(np.searchsorted(self._ends, start, "right"))
            segment = self._train[index]
            first = segment.last - self._length - int(self._ends[index]) + start
            rows.append(segment.file.read(first, self._length + 1))
        return self.collate(np.stack(rows), np.zeros(self.batch_size, np.int64))
