"""Evaluation windows that share no text with training.

They are found by hashes of all stretches of the training text: all `length` consecutive bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint64]
T = TypeVar("T")

# Odd, so that it has an inverse modulo 2^64. Equal text has equal hashes, so no overlap is missed.
# A collision of different texts only loses a window.
BASE = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Window:
    """A stretch of held-out text, and the index of its document."""

    document: int
    text: Bytes


def rolling_hashes(data: Bytes, length: int) -> Hashes:
    """Return a polynomial hash modulo 2^64 of every `length` consecutive bytes of `data`.

    The shape is (len(data) - length + 1,), or (0,) if `data` is too short.
    """
    if len(data) < length:
        return np.zeros(0, np.uint64)
    n_hashes = len(data) - length + 1
    prefix = np.zeros(len(data) + 1, np.uint64)
    np.cumsum((data.astype(np.uint64) + np.uint64(1)) * _powers(BASE, len(data)), out=prefix[1:])
    return (prefix[length:] - prefix[:n_hashes]) * _powers(pow(BASE, -1, 2**64), n_hashes)


def unseen_windows(documents: Sequence[bytes], known: Hashes, length: int) -> list[Window]:
    """Return windows that do not overlap and share no `length` consecutive bytes with training.

    Args:
        documents: held-out text.
        known: sorted hashes of all stretches of `length` bytes of all training text.
        length: of the input; a window is one byte longer, for the target of the last position.
    """
    windows = []
    for index, document in enumerate(documents):
        # Input and target are stretches that begin at neighbouring bytes: both must be unseen.
        data = np.frombuffer(document, np.uint8)
        is_unseen = ~contains(known, rolling_hashes(data, length))
        starts = np.flatnonzero(is_unseen[:-1] & is_unseen[1:])
        # Take the first start after the previous window, so that windows do not overlap.
        next_start = 0
        while (position := int(np.searchsorted(starts, next_start))) < len(starts):
            begin = int(starts[position])
            windows.append(Window(index, data[begin : begin + length + 1]))
            next_start = begin + length + 1
    return windows


def report_windows(
    free: Sequence[Window], documents: Sequence[bytes], length: int, n: int, label: str
) -> list[int]:
    """Return the indices of the `n` windows of the report, spread evenly over the documents.

    `free` are the unseen windows of the held-out `documents`.

    Raises:
        ValueError: there are fewer than `n` windows.
    """
    # Too little held-out text: no choice of windows could help.
    if sum(len(document) // (length + 1) for document in documents) < n:
        raise ValueError(
            f"{label}: {sum(map(len, documents))} bytes are held out, but {n} sequences of "
            f"length={length} (+1) need {n * (length + 1)}; lower task.n_eval or task.length, "
            f"give more text, or raise task.eval_share"
        )
    # Enough text, but too much of it occurs in the training text. Longer windows occur less often.
    if len(free) < n:
        hint = (
            "raise task.length or lower task.n_eval"
            if free
            else "the held-out text repeats the training text, so give other text"
        )
        raise ValueError(
            f"{label}: {n} sequences are needed that share no {length} bytes with the training "
            f"text, but there are {len(free)}; {hint}"
        )
    # Windows are in the order of the documents, so equal steps cover all documents.
    return pick_evenly(range(len(free)), n)


def tuning_windows(
    rest: Sequence[Window], reported: Sequence[Window], known: Hashes, length: int, n: int
) -> list[Window]:
    """Return at most `n` windows for tuning that share no text with the report's windows.

    Args:
        rest: windows that the report does not use.
        reported: windows of the report.
        known: sorted hashes of all stretches of `length` bytes of the report's windows.
        length: of the input.
        n: the number of windows; if fewer are suitable, all of them are returned.
    """
    documents = {window.document for window in reported}
    # A window that repeats `length` bytes of the report's windows would tune on the report's text.
    suitable = [
        window for window in rest if not contains(known, rolling_hashes(window.text, length)).any()
    ]
    # Documents without a window of the report come first, since text within a document is similar.
    other_documents = [window for window in suitable if window.document not in documents]
    same_documents = [window for window in suitable if window.document in documents]
    # Fill up with windows of the report's documents only if the others are too few.
    chosen = pick_evenly(other_documents, min(n, len(other_documents)))
    return chosen + pick_evenly(same_documents, min(n - len(chosen), len(same_documents)))


def hash_stretches(texts: Sequence[Bytes], length: int) -> Hashes:
    """Return the sorted hashes of all stretches of `length` bytes in texts."""
    hashes = [rolling_hashes(text, length) for text in texts]
    return np.unique(np.concatenate(hashes)) if hashes else np.zeros(0, np.uint64)


def stack_windows(windows: Sequence[Window], known: Hashes, length: int) -> Bytes:
    """Return windows as an array (n, length + 1), after a second check against training text.

    This check computes each hash directly, instead of from sums over the whole text.
    """
    if not windows:
        return np.zeros((0, length + 1), np.uint8)
    stacked = np.stack([window.text for window in windows])
    for part in (stacked[:, :-1], stacked[:, 1:]):
        direct = ((part.astype(np.uint64) + np.uint64(1)) * _powers(BASE, length)).sum(
            1, dtype=np.uint64
        )
        assert not contains(known, direct).any(), "an evaluation window occurs in the training text"
    return stacked


def pick_evenly(items: Sequence[T], n: int) -> list[T]:
    """Return `n` items at equal steps."""
    return [items[index * len(items) // n] for index in range(n)]


def _powers(base: int, n: int) -> Hashes:
    """Return base^0 ... base^(n-1) modulo 2^64."""
    factors = np.full(n, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors)


def contains(known: Hashes, hashes: Hashes) -> NDArray[np.bool_]:
    """Return which of `hashes` are in the sorted `known`."""
    if not len(known):
        return np.zeros(len(hashes), bool)
    return known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
