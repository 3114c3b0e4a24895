"""Evaluation windows that share no text with training, by hashes of all stretches of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint64]
T = TypeVar("T")

# Odd, so that it has an inverse modulo 2^64. Equal text has equal hashes, so that no overlap is
# missed; a collision of different texts only costs a window.
BASE = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Window:
    """A stretch of held-out text, and which document it is from."""

    document: int
    text: Bytes


def rolling_hashes(data: Bytes, length: int) -> Hashes:
    """A polynomial hash modulo 2^64 of every `length` bytes in a row, (len(data) - length + 1,)."""
    if len(data) < length:
        return np.zeros(0, np.uint64)
    start = len(data) - length + 1
    prefix = np.zeros(len(data) + 1, np.uint64)
    np.cumsum((data.astype(np.uint64) + np.uint64(1)) * _powers(BASE, len(data)), out=prefix[1:])
    return (prefix[length:] - prefix[:start]) * _powers(pow(BASE, -1, 2**64), start)


def unseen_windows(documents: Sequence[bytes], known: Hashes, length: int) -> list[Window]:
    """Windows of held-out text that do not overlap and share no `length` bytes with training.

    Args:
        documents: held-out text.
        known: sorted hashes of all stretches of `length` bytes of all training text.
        length: of the input; a window is one byte longer, for the target of the last position.
    """
    free = []
    for index, document in enumerate(documents):
        data = np.frombuffer(document, np.uint8)
        fresh = ~_contains(known, rolling_hashes(data, length))
        starts = np.flatnonzero(fresh[:-1] & fresh[1:])  # both the input and the target are unseen
        next_start = 0
        while (place := int(np.searchsorted(starts, next_start))) < len(starts):
            begin = int(starts[place])
            free.append(Window(index, data[begin : begin + length + 1]))
            next_start = begin + length + 1
    return free


def report_windows(
    free: Sequence[Window], documents: Sequence[bytes], length: int, n: int, label: str
) -> list[int]:
    """Which of the free windows the report uses: `n` of them, spread evenly over documents.

    Raises:
        ValueError: there are fewer.
    """
    if sum(len(document) // (length + 1) for document in documents) < n:
        raise ValueError(
            f"{label}: {sum(map(len, documents))} bytes are held out, but {n} sequences of "
            f"length={length} (+1) need {n * (length + 1)}; lower task.n_eval or task.length, or "
            f"give more text or a larger task.eval_share"
        )
    if len(free) < n:
        cure = (
            "raise task.length or lower task.n_eval"
            if free
            else "what is held out repeats the training text, so give other text"
        )
        raise ValueError(
            f"{label}: {n} sequences are needed whose {length} bytes do not occur in the training "
            f"text, there are {len(free)}; {cure}"
        )
    return pick_evenly(range(len(free)), n)


def tuning_windows(
    rest: Sequence[Window], reported: Sequence[Window], known: Hashes, length: int, n: int
) -> list[Window]:
    """`n` of the windows that the report leaves, or all that are fit if they are fewer.

    None repeats `length` bytes of any window of the report, whose sorted hashes are `known`. Those
    of documents that the report does not use come first.
    """
    documents = {window.document for window in reported}
    fit = [
        window for window in rest if not _contains(known, rolling_hashes(window.text, length)).any()
    ]
    others = [window for window in fit if window.document not in documents]
    same = [window for window in fit if window.document in documents]
    chosen = pick_evenly(others, min(n, len(others)))
    return chosen + pick_evenly(same, min(n - len(chosen), len(same)))


def hash_stretches(texts: Sequence[Bytes], length: int) -> Hashes:
    """The sorted hashes of all stretches of `length` bytes in texts."""
    hashes = [rolling_hashes(text, length) for text in texts]
    return np.unique(np.concatenate(hashes)) if hashes else np.zeros(0, np.uint64)


def stack_windows(windows: Sequence[Window], known: Hashes, length: int) -> Bytes:
    """Windows as an array (n, length + 1); checks once more that training text has none of them."""
    if not windows:
        return np.zeros((0, length + 1), np.uint8)
    chosen = np.stack([window.text for window in windows])
    for part in (chosen[:, :-1], chosen[:, 1:]):
        direct = ((part.astype(np.uint64) + np.uint64(1)) * _powers(BASE, length)).sum(
            1, dtype=np.uint64
        )
        assert not _contains(known, direct).any(), (
            "an evaluation window occurs in the training text"
        )
    return chosen


def pick_evenly(found: Sequence[T], n: int) -> list[T]:
    """`n` of them, evenly."""
    return [found[index * len(found) // n] for index in range(n)]


def _powers(base: int, n: int) -> Hashes:
    """base^0 .. base^(n-1) modulo 2^64."""
    factors = np.full(n, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors)


def _contains(known: Hashes, hashes: Hashes) -> NDArray[np.bool_]:
    """Which of `hashes` are among the sorted `known`."""
    if not len(known):
        return np.zeros(len(hashes), bool)
    return known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
