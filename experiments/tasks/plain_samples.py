"""Samples of a plain task: they are drawn for a split, and checked.

Legend: n (sequences), length (positions), width (features of a real-valued position).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_EMPTY_ROUNDS = 100
"""Draws without a sequence of the wanted side after which a split counts as empty."""


class SplitName(StrEnum):
    """A side of the data of a plain task."""

    train = "train"
    held_out = "held_out"
    tuning = "tuning"


STREAMS = {SplitName.train: 1, SplitName.held_out: 2, SplitName.tuning: 3}
"""The first number of a generator's key, so that no two sides share random numbers."""


@dataclass(frozen=True)
class PlainSample:
    """Sequences of a plain task.

    Attributes:
        inputs: ids (n, length) int64, or values (n, length, width) float32.
        target: of the same kind and shape.
        label: (n,) int64, the index of each sequence's label.
    """

    inputs: NDArray[Any]
    target: NDArray[Any]
    label: NDArray[np.int64]

    @property
    def is_symbols(self) -> bool:
        """Whether inputs are ids of symbols."""
        return self.inputs.dtype.kind == "i"

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Return inputs, target and label, whose rows are the sequences."""
        return self.inputs, self.target, self.label

    def rows(self) -> list[bytes]:
        """Return each sequence with its target, as bytes."""
        return [x.tobytes() + y.tobytes() for x, y in zip(self.inputs, self.target, strict=True)]

    def select(self, rows: NDArray[np.bool_]) -> "PlainSample":
        """Return the sequences of these rows."""
        return PlainSample(*(array[rows] for array in self.arrays()))


@dataclass(frozen=True)
class Sampler:
    """The functions of a plain task that make its samples.

    Attributes:
        name: the task in messages, such as `task=mine`.
        sample: the user's `sample(rng, n)`, or `sample(rng, n, split)` with `takes_split`.
        split: the user's `split(sequences)`, which returns the side of each row; or None.
        takes_split: whether `sample` has a parameter `split`.
        n_labels: the number of labels that the user named; with some, `sample` returns the label
            of each sequence.
        length, vocabulary, width: the sizes that a sample must have; None where any will do.
    """

    name: str
    sample: Callable[..., Any]
    split: Callable[[Any], Any] | None
    takes_split: bool
    n_labels: int = 0
    length: int | None = None
    vocabulary: int | None = None
    width: int | None = None

    def draw(self, n: int, key: Sequence[int], split: SplitName) -> PlainSample:
        """Return `n` sequences of a split, a pure function of the key.

        Raises:
            ValueError: the user's code failed or returned something else, or the split is empty.
        """
        rng = np.random.default_rng([STREAMS[split], *key])
        if self.split is None:
            return self._call(rng, n, split)[0]
        # Draw n at a time and reject the sequences of other sides, until there are enough.
        parts: list[PlainSample] = []
        n_empty = 0
        while sum(len(part.label) for part in parts) < n:
            sample, first = self._call(rng, n, split)
            is_wanted = self._sides(first, n) == split.value
            n_empty = 0 if is_wanted.any() else n_empty + 1
            if n_empty == MAX_EMPTY_ROUNDS:
                raise ValueError(
                    f"{self.name}: split() gave {split.value} to none of {n * n_empty} sequences; "
                    "every side needs some"
                )
            parts.append(sample.select(is_wanted))
        joined = zip(*(part.arrays() for part in parts), strict=True)
        return PlainSample(*(np.concatenate(arrays)[:n] for arrays in joined))

    def _call(self, rng: np.random.Generator, n: int, split: SplitName) -> tuple[PlainSample, Any]:
        """Return checked sequences, and the first array as the user's `sample` returned it."""
        more = {"split": split.value} if self.takes_split else {}
        returned = call_user_code(f"{self.name}: sample()", self.sample, rng, n, **more)
        if returned is None:
            raise ValueError(
                f"{self.name}: sample() returned None; it must return sequences, or "
                "(inputs, targets)"
            )
        parts = list(returned) if isinstance(returned, tuple) else [returned]
        label = parts.pop() if self.n_labels and len(parts) > 1 else None
        if self.n_labels and label is None:
            self._refuse("has no labels; return (sequences, label) or (inputs, targets, label)")
        if not self.n_labels and len(parts) == 2 and np.ndim(parts[1]) == 1:
            self._refuse(
                f"has a second array of shape {np.shape(parts[1])}; it must be targets (n, length),"
                " or labels if the class names them, e.g. labels = ('even', 'odd')"
            )
        arrays = [self._array(part) for part in parts]
        if len(arrays) not in (1, 2):
            self._refuse(f"has {len(arrays)} arrays; return sequences, or (inputs, targets)")
        for array in arrays:
            if array.ndim < 2 or len(array) != n or not array.size:
                self._refuse(f"has shape {array.shape}; the first axis must be n={n} sequences")
        if len(arrays) == 1 and arrays[0].shape[1] < 2:
            self._refuse(f"has shape {arrays[0].shape}; a sequence needs 2 steps or more")
        n_steps, extra = arrays[0].shape[1], int(len(arrays) == 1)
        if self.length is not None and n_steps != self.length + extra:
            self._refuse(
                f"has {n_steps} steps; with length={self.length} there must be "
                f"{self.length + extra}" + (", since the last is only a target" if extra else "")
            )
        inputs, target = (
            arrays if len(arrays) == 2 else (arrays[0][:, :-1], arrays[0][:, 1:].copy())
        )
        if inputs.shape != target.shape or inputs.dtype != target.dtype:
            self._refuse(
                f"has inputs {inputs.shape} of {inputs.dtype} and targets {target.shape} of "
                f"{target.dtype}; both must be symbols or both real values, of one shape"
            )
        sample = PlainSample(np.ascontiguousarray(inputs), target, self._label(label, n))
        return sample, parts[0]

    def _array(self, returned: Any) -> NDArray[Any]:
        """Return a checked array of ids or of values."""
        try:
            array = np.asarray(returned)
        except ValueError as error:  # rows of different lengths
            raise ValueError(f"{self.name}: sample() returned no array ({error})") from error
        if array.dtype.kind in "iu":
            return self._symbols(array)
        if array.dtype.kind != "f":
            kinds = [type(value).__name__ for value in array.ravel()[:1].tolist()]
            self._refuse(f"has values of type {''.join(kinds)}; they must be whole or real numbers")
        return self._values(array)

    def _symbols(self, array: NDArray[Any]) -> NDArray[np.int64]:
        """Return checked ids (n, steps)."""
        if self.width is not None:
            self._refuse("has symbols; other samples of this task have real values")
        if array.ndim != 2:
            self._refuse(f"has shape {array.shape}; symbols have shape (n, length + 1)")
        if array.size and array.min() < 0:
            self._refuse(f"has the symbol {array.min()}; symbols are 0 or more")
        if self.vocabulary is not None and array.size and array.max() >= self.vocabulary:
            self._refuse(
                f"has the symbol {array.max()}; with vocabulary={self.vocabulary} the largest is "
                f"{self.vocabulary - 1}"
            )
        return array.astype(np.int64)

    def _values(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Return checked values (n, steps, width)."""
        if self.vocabulary is not None:
            self._refuse(f"has real values; with vocabulary={self.vocabulary} it must have symbols")
        if array.ndim != 3:
            self._refuse(f"has shape {array.shape}; real values have shape (n, length + 1, width)")
        if self.width is not None and array.shape[2] != self.width:
            self._refuse(f"has {array.shape[2]} features; it must have width={self.width}")
        if not np.isfinite(array).all():
            self._refuse("has values that are not finite")
        return array.astype(np.float32)

    def _label(self, returned: Any, n: int) -> NDArray[np.int64]:
        """Return the checked index of each sequence's label; 0 without labels."""
        if returned is None:
            return np.zeros(n, np.int64)
        label = np.asarray(returned)
        if label.shape != (n,) or label.dtype.kind not in "iu":
            self._refuse(f"has labels of shape {label.shape}; they must be n={n} whole numbers")
        if label.min() < 0 or label.max() >= self.n_labels:
            wrong = label.min() if label.min() < 0 else label.max()
            self._refuse(f"has the label {wrong}; there are {self.n_labels} labels")
        return label.astype(np.int64)

    def _sides(self, sequences: Any, n: int) -> NDArray[Any]:
        """Return the side of each sequence, as the user's `split` gives it."""
        assert self.split is not None
        returned = call_user_code(f"{self.name}: split()", self.split, sequences)
        names = [split.value for split in SplitName]
        if wrong := describe_wrong_sides(returned, n):
            raise ValueError(
                f"{self.name}: split() must return one of {', '.join(names)} for each sequence; "
                f"{wrong}"
            )
        return np.asarray(returned)

    def _refuse(self, text: str) -> None:
        raise ValueError(f"{self.name}: the result of sample() {text}")


def describe_wrong_sides(returned: Any, n: int) -> str:
    """Return what is wrong with a result of `split` for `n` sequences; "" if nothing is."""
    if returned is None:
        return "it returned None"
    try:
        sides = np.asarray(returned)
    except ValueError:
        return "it returned rows of different lengths"
    if sides.shape != (n,):
        return f"it returned an array of shape {sides.shape} for {n} sequences"
    wrong = [side for side in sides.tolist() if side not in [*SplitName]]
    return f"one of its values is {wrong[0]!r}"[:100] if wrong else ""


def call_user_code(where: str, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """Return the result of a user's function; its errors become a ValueError of one line.

    The line names the user's file. An error of memory stays as it is, since a trial reports it in
    its own words.
    """
    try:
        return function(*args, **more)
    except (Exception, SystemExit) as error:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            raise
        text = f"{type(error).__name__}: {error}".partition("\n")[0]
        reason = f"failed with {text}"
        if isinstance(error, SystemExit):
            reason = f"called sys.exit({error.code!r})" if error.code else "called sys.exit"
        trace = error.__traceback__ and error.__traceback__.tb_next
        if trace is not None:  # the frame of the function, unless its arguments were wrong
            name = Path(trace.tb_frame.f_code.co_filename).name
            reason = f"{reason} ({name}, line {trace.tb_lineno})"
        raise ValueError(f"{where} {reason}") from error


def count_shared(some: PlainSample, others: PlainSample) -> int:
    """Return the number of sequences of `some` that are among `others`."""
    known = set(others.rows())
    return sum(row in known for row in some.rows())
