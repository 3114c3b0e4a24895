"""From text that is split to the arrays of a corpus; `cached` says what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.tasks.corpora.normalisation import find_normalised_overlap
from experiments.tasks.corpora.windows import (
    Hashes,
    Window,
    hash_stretches,
    report_windows,
    rolling_hashes,
    stack_windows,
    tuning_windows,
    unseen_windows,
)

Windows = list[list[Window]]
"""Of each label."""


@dataclass(frozen=True)
class Split:
    """The text of one label: training bytes, and whole documents that are held out."""

    train: bytes
    held_out: Sequence[bytes]


def build_arrays(
    splits: Mapping[str, Split], length: int, n_eval: int, *, dedup_normalised: bool
) -> dict[str, NDArray[Any]]:
    """The arrays of a corpus but its fingerprint.

    With `dedup_normalised` no window occurs in training text that is only written another way.

    Raises:
        ValueError: there is too little text of a label.
    """
    if n_eval < len(splits):
        raise ValueError(
            f"task.n_eval={n_eval} must be at least the number of labels, {len(splits)}"
        )
    for label, part in splits.items():
        if len(part.train) <= length:
            raise ValueError(
                f"{label}: {len(part.train)} bytes to train on are too few for length="
                f"{length} (+1); lower task.length, or give more text"
            )
    train = [np.frombuffer(part.train, np.uint8) for part in splits.values()]
    known = np.sort(np.concatenate([rolling_hashes(part, length) for part in train]))
    free = [unseen_windows(part.held_out, known, length) for part in splits.values()]
    if dedup_normalised:
        free = _without(free, b"\n".join(part.train for part in splits.values()))
    wanted = split_evenly(n_eval, len(splits))
    reported = [
        report_windows(there, part.held_out, length, n, label)
        for there, (label, part), n in zip(free, splits.items(), wanted, strict=True)
    ]
    report = [[there[i] for i in chosen] for there, chosen in zip(free, reported, strict=True)]
    tuning = _beside(free, report, length, wanted, any_form=dedup_normalised)
    enough = all(len(part) == n for part, n in zip(tuning, wanted, strict=True))
    windows, window_label = _in_turn(report, known, length)
    others, others_label = _in_turn(tuning if enough else [[] for _ in tuning], known, length)
    return {
        "labels": np.array(list(splits)),
        "train": np.concatenate(train),
        "bounds": np.cumsum([0, *map(len, train)]),
        "windows": windows,
        "window_label": window_label,
        "tuning_windows": others,
        "tuning_window_label": others_label,
        "tuning_free": np.array([len(part) for part in tuning]),
    }


def _beside(
    free: Windows, report: Windows, length: int, wanted: Sequence[int], *, any_form: bool
) -> Windows:
    """The windows by which tuning chooses: of each label as many as wanted, or as there are."""
    used = [window.text for part in report for window in part]
    known = hash_stretches(used, length)
    places = [{id(window) for window in part} for part in report]
    rest = [
        [window for window in there if id(window) not in taken]
        for there, taken in zip(free, places, strict=True)
    ]
    if any_form:
        rest = _without(rest, b"\n".join(text.tobytes() for text in used))
    return [
        tuning_windows(there, part, known, length, n)
        for there, part, n in zip(rest, report, wanted, strict=True)
    ]


def _without(windows: Windows, text: bytes) -> Windows:
    """The windows that do not occur in `text`, however they are written."""
    known = iter(
        find_normalised_overlap([window.text for part in windows for window in part], text).tolist()
    )
    return [[window for window in part if not next(known)] for part in windows]


def _in_turn(
    windows: Windows, known: Hashes, length: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The windows of all labels, labels taking turns, and the label of each."""
    owner = np.repeat(np.arange(len(windows)), [len(part) for part in windows])
    turn = np.concatenate([np.arange(len(part)) for part in windows])
    order = np.lexsort((owner, turn))
    flat = [window for part in windows for window in part]
    return stack_windows(flat, known, length)[order], owner[order]


def split_evenly(total: int, n: int) -> list[int]:
    """`total` cut into `n` parts that differ by at most one."""
    return [total // n + (index < total % n) for index in range(n)]
