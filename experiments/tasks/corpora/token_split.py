"""The split of token files: the end is held out, and held-out windows are searched in training.

Legend: a position counts the ids of all files of one side, file after file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.tasks.corpora.token_files import TokenFile
from experiments.tasks.corpora.windows import contains, pick_evenly, rolling_hashes

CANDIDATES = 4
"""Windows that are compared with training ids, for each window of the report."""
BLOCK, MAX_BLOCKS = 2**20, 64
"""The training ids among which windows are searched: all, or this many blocks spread over them."""


@dataclass(frozen=True)
class Segment:
    """A part of a file on one side of the split: the ids from `first` up to `last`."""

    file: TokenFile
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first


@dataclass(frozen=True)
class HeldOutTokens:
    """The held-out windows, each with `length` + 1 ids.

    Attributes:
        report, tuning: (n, length + 1); no tuning windows if there are too few.
        n_checked: windows that were searched in training ids.
        n_known: how many of them occur there; they are not used.
        n_train, n_searched: the training ids, and how many of them were searched.
    """

    report: NDArray[Any]
    tuning: NDArray[Any]
    n_checked: int
    n_known: int
    n_train: int
    n_searched: int


def split_segments(
    files: Sequence[TokenFile], eval_share: float, document_id: int | None
) -> tuple[list[Segment], list[Segment]]:
    """Return the segments of training and the held-out ones, the end of all ids.

    With `document_id` the held-out part begins after the first such id behind the place, so that
    whole documents are held out.

    Raises:
        ValueError: there is no such id behind the place.
    """
    whole = [Segment(file, 0, file.n) for file in files]
    total = sum(map(len, whole))
    cut = total - round(total * eval_share)
    if document_id is not None:
        cut = _next_document(cut_segments(whole, cut)[1], document_id, cut)
        if cut >= total:
            raise ValueError(
                f"task.document_id={document_id}: no document begins in the last "
                f"{100 * eval_share:g} % of the ids; correct the id, or raise task.eval_share"
            )
    return cut_segments(whole, cut)


def cut_segments(segments: Sequence[Segment], position: int) -> tuple[list[Segment], list[Segment]]:
    """Return the segments before a position and those after it."""
    before: list[Segment] = []
    after: list[Segment] = []
    for segment in segments:
        n = min(max(position, 0), len(segment))
        before.append(replace(segment, last=segment.first + n))
        after.append(replace(segment, first=segment.first + n))
        position -= len(segment)
    return [part for part in before if len(part)], [part for part in after if len(part)]


def _next_document(segments: Sequence[Segment], document_id: int, position: int) -> int:
    """Return the position after the next `document_id`, or the end of all ids."""
    for segment in segments:
        for start, ids in segment.file.chunks(segment.first, segment.last):
            places = np.flatnonzero(ids == document_id)
            if len(places):
                return position + start - segment.first + int(places[0]) + 1
        position += len(segment)
    return position


def choose_windows(
    train: Sequence[Segment], held_out: Sequence[Segment], length: int, n: int
) -> HeldOutTokens:
    """Return the windows of the report and of tuning, spread evenly over the held-out ids.

    A window is left out if `length` consecutive ids of it occur in the training ids that are
    searched.

    Raises:
        ValueError: there are too few held-out ids, or too few windows are left.
    """
    # Windows follow each other in a segment without a gap; a segment may end with unused ids.
    n_slots = np.cumsum([len(segment) // (length + 1) for segment in held_out])
    total = int(n_slots[-1]) if len(n_slots) else 0
    n_held_out = sum(map(len, held_out))
    if total < n:
        raise ValueError(
            f"{n_held_out} ids are held out, but {n} sequences of length={length} (+1) need "
            f"{n * (length + 1)}; lower task.n_eval or task.length, or raise task.eval_share"
        )
    rows = []
    for slot in pick_evenly(range(total), min(total, CANDIDATES * n)):
        index = int(np.searchsorted(n_slots, slot, "right"))
        before = int(n_slots[index - 1]) if index else 0
        start = held_out[index].first + (slot - before) * (length + 1)
        rows.append(held_out[index].file.read(start, length + 1))
    windows = np.stack(rows)
    hashes = np.stack([window_hashes(part, length) for part in (windows[:, :-1], windows[:, 1:])])
    is_known = np.zeros(len(windows), bool)
    n_searched = 0
    for ids, n_new in training_blocks(train, length):
        n_searched += n_new
        # Few hashes are sought among many: sort the few.
        is_known |= occur_in(hashes, rolling_hashes(ids, length))
    free = windows[~is_known]
    if len(free) < n:
        raise ValueError(
            f"{int(is_known.sum())} of {len(windows)} held-out sequences repeat {length} ids of "
            f"the training data, and {len(free)} are left for task.n_eval={n}. Lower "
            "task.n_eval, raise task.length, or hold out other data"
        )
    report = pick_evenly(range(len(free)), n)
    rest = [index for index in range(len(free)) if index not in set(report)]
    tuning = pick_evenly(rest, n) if len(rest) >= n else []
    return HeldOutTokens(
        free[report],
        free[tuning],
        n_checked=len(windows),
        n_known=int(is_known.sum()),
        n_train=sum(map(len, train)),
        n_searched=n_searched,
    )


def window_hashes(windows: NDArray[Any], length: int) -> NDArray[np.uint64]:
    """Return the hash of each row of `length` ids."""
    return rolling_hashes(np.ascontiguousarray(windows).ravel(), length)[::length]


def occur_in(sought: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which columns of `sought` (2, n) have a hash that is among `hashes`."""
    few = np.unique(sought)
    present = np.unique(hashes[contains(few, hashes)])
    return np.asarray(np.isin(sought, present).any(axis=0))


def training_blocks(train: Sequence[Segment], length: int) -> Iterator[tuple[NDArray[Any], int]]:
    """Yield the training ids in blocks that overlap by `length` - 1, or blocks spread over them.

    Each block comes with the number of its ids that no block before it has.
    """
    places = [
        (segment, start) for segment in train for start in range(segment.first, segment.last, BLOCK)
    ]
    if len(places) > MAX_BLOCKS:
        places = pick_evenly(places, MAX_BLOCKS)
    former: tuple[Segment | None, int] = None, 0
    for segment, start in places:
        end = min(start + BLOCK + length - 1, segment.last)
        n_new = end - (max(start, former[1]) if segment is former[0] else start)
        yield segment.file.read(start, end - start), n_new
        former = segment, end
