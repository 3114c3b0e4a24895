"""Evaluation windows that share no text with training, by hashes of all stretches of it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint64]

# Odd, so that it has an inverse modulo 2^64. Equal text has equal hashes, so that no overlap is
# missed; a collision of different texts only costs a window.
BASE = 0x9E3779B97F4A7C15


def rolling_hashes(data: Bytes, length: int) -> Hashes:
    """A polynomial hash modulo 2^64 of every `length` bytes in a row, (len(data) - length + 1,)."""
    if len(data) < length:
        return np.zeros(0, np.uint64)
    start = len(data) - length + 1
    prefix = np.zeros(len(data) + 1, np.uint64)
    np.cumsum((data.astype(np.uint64) + np.uint64(1)) * _powers(BASE, len(data)), out=prefix[1:])
    return (prefix[length:] - prefix[:start]) * _powers(pow(BASE, -1, 2**64), start)


def evaluation_windows(
    documents: Sequence[bytes], known: Hashes, length: int, n: int, label: str
) -> Bytes:
    """`n` windows (n, length + 1), spread evenly over documents, that share nothing with training.

    Windows do not overlap; where `length` bytes occur in training, the next free ones are taken.

    Args:
        documents: held-out text.
        known: sorted hashes of all stretches of `length` bytes of all training text.
        length: of the input; a window is one byte longer, for the target of the last position.
        n: number of windows.
        label: whose documents they are, for messages.

    Raises:
        ValueError: the documents hold fewer free windows.
    """
    free = []
    room = 0
    for document in documents:
        data = np.frombuffer(document, np.uint8)
        room += len(data) // (length + 1)
        fresh = ~_contains(known, rolling_hashes(data, length))
        starts = np.flatnonzero(fresh[:-1] & fresh[1:])  # both the input and the target are unseen
        next_start = 0
        while (index := int(np.searchsorted(starts, next_start))) < len(starts):
            begin = int(starts[index])
            free.append(data[begin : begin + length + 1])
            next_start = begin + length + 1
    if room < n:
        raise ValueError(
            f"{label}: {sum(map(len, documents))} bytes are held out, but {n} sequences of "
            f"length={length} (+1) need {n * (length + 1)}; lower task.n_eval or task.length, or "
            f"give more text or a larger task.eval_share"
        )
    if len(free) < n:
        raise ValueError(
            f"{label}: {n} sequences are needed whose {length} bytes do not occur in the training "
            f"text, there are {len(free)}; raise task.length or lower task.n_eval"
        )
    chosen = np.stack([free[index * len(free) // n] for index in range(n)])
    for part in (chosen[:, :-1], chosen[:, 1:]):
        direct = ((part.astype(np.uint64) + np.uint64(1)) * _powers(BASE, length)).sum(
            1, dtype=np.uint64
        )
        assert not _contains(known, direct).any(), (
            "an evaluation window occurs in the training text"
        )
    return chosen


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
