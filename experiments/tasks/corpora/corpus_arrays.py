"""Build the arrays of a corpus from split text; `cache_files` lists the arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.tasks.corpora.bpe import Vocabulary, learn_vocabulary
from experiments.tasks.corpora.normalisation import find_normalised_overlap
from experiments.tasks.corpora.token_windows import (
    TokenWindow,
    cut_pieces,
    stack_tokens,
    unseen_token_windows,
    vocabulary_arrays,
)
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
"""The windows of each label."""


@dataclass(frozen=True)
class Split:
    """The text of one label: its training bytes, and its held-out documents."""

    train: bytes
    held_out: Sequence[bytes]


def build_arrays(
    splits: Mapping[str, Split],
    length: int,
    n_eval: int,
    *,
    dedup_normalised: bool,
    vocabulary_size: int | None = None,
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a corpus, without its fingerprint.

    `dedup_normalised` also removes windows that occur in the training text in normalised form. With
    `vocabulary_size` the text is tokens of a vocabulary that is learned from the training text;
    otherwise it is bytes.

    Raises:
        ValueError: a label has too little text, or there is too little for the vocabulary.
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
    # Windows of held-out text that share no `length` bytes with the training text of any label.
    train = [np.frombuffer(part.train, np.uint8) for part in splits.values()]
    known = np.sort(np.concatenate([rolling_hashes(part, length) for part in train]))
    vocabulary = None
    if vocabulary_size is not None:
        vocabulary = learn_vocabulary([part.train for part in splits.values()], vocabulary_size)
    free: Windows = [
        unseen_windows(part.held_out, known, length)
        if vocabulary is None
        else [*unseen_token_windows(part.held_out, vocabulary, known, length)]
        for part in splits.values()
    ]
    if dedup_normalised:
        text = b"\n".join(part.train for part in splits.values())
        free = _without_overlap(free, text, length)
    # The report's windows, an equal number for each label.
    n_windows = split_evenly(n_eval, len(splits))
    indices = [
        report_windows(of_label, part.held_out, length, n, label)
        for of_label, (label, part), n in zip(free, splits.items(), n_windows, strict=True)
    ]
    report = [[of_label[i] for i in chosen] for of_label, chosen in zip(free, indices, strict=True)]
    # Tuning has windows of its own, all of them or none.
    tuning = _tuning_windows(free, report, length, n_windows, dedup_normalised=dedup_normalised)
    is_enough = all(len(part) == n for part, n in zip(tuning, n_windows, strict=True))
    windows, window_label = _in_turn(report, known, length)
    others, others_label = _in_turn(tuning if is_enough else [[] for _ in tuning], known, length)
    return {
        "labels": np.array(list(splits)),
        **_train_arrays(splits, train, vocabulary, length),
        "windows": windows,
        "window_label": window_label,
        "tuning_windows": others,
        "tuning_window_label": others_label,
        "tuning_free": np.array([len(part) for part in tuning]),
    }


def _train_arrays(
    splits: Mapping[str, Split],
    train: Sequence[NDArray[np.uint8]],
    vocabulary: Vocabulary | None,
    length: int,
) -> dict[str, NDArray[Any]]:
    """Return the training text of all labels, as bytes or as tokens with their vocabulary."""
    if vocabulary is None:
        return {"train": np.concatenate(train), "bounds": np.cumsum([0, *map(len, train)])}
    tokens = [vocabulary.encode(part.train) for part in splits.values()]
    for label, ids in zip(splits, tokens, strict=True):
        if len(ids) <= length:
            raise ValueError(
                f"{label}: {len(ids)} tokens to train on are too few for length={length} (+1); "
                "lower task.length or task.vocabulary, or give more text"
            )
    return {
        "train": np.concatenate(tokens),
        "bounds": np.cumsum([0, *map(len, tokens)]),
        **vocabulary_arrays(vocabulary.texts),
    }


def _tuning_windows(
    free: Windows,
    report: Windows,
    length: int,
    n_windows: Sequence[int],
    *,
    dedup_normalised: bool,
) -> Windows:
    """Return the windows for tuning: `n_windows` of each label, or fewer if there are fewer."""
    used = [window.text for part in report for window in part]
    known = hash_stretches(used, length)
    used_ids = [{id(window) for window in part} for part in report]
    rest = [
        [window for window in of_label if id(window) not in ids]
        for of_label, ids in zip(free, used_ids, strict=True)
    ]
    if dedup_normalised:
        rest = _without_overlap(rest, b"\n".join(text.tobytes() for text in used), length)
    return [
        tuning_windows(of_label, part, known, length, n)
        for of_label, part, n in zip(rest, report, n_windows, strict=True)
    ]


def _without_overlap(windows: Windows, text: bytes, length: int) -> Windows:
    """Return the windows of which no piece occurs in `text`, compared in normalised form.

    A piece has `length` + 1 bytes; a window of bytes is one piece.
    """
    pieces = [part for of_label in windows for part in cut_pieces(of_label, length)]
    occurs = find_normalised_overlap([piece for part in pieces for piece in part], text)
    ends = np.cumsum([len(part) for part in pieces], dtype=np.int64)[:-1]
    is_known = iter([bool(part.any()) for part in np.split(occurs, ends)] if pieces else [])
    return [[window for window in of_label if not next(is_known)] for of_label in windows]


def _in_turn(
    windows: Windows, known: Hashes, length: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the windows of all labels, labels taking turns, and the label of each."""
    owner = np.repeat(np.arange(len(windows)), [len(part) for part in windows])
    turn = np.concatenate([np.arange(len(part)) for part in windows])
    order = np.lexsort((owner, turn))
    flat = [window for part in windows for window in part]
    tokens = [window for window in flat if isinstance(window, TokenWindow)]
    stacked = stack_tokens(tokens, known, length) if tokens else stack_windows(flat, known, length)
    return stacked[order], owner[order]


def split_evenly(total: int, n: int) -> list[int]:
    """Return `n` integers that sum to `total` and differ by at most one."""
    return [total // n + (index < total % n) for index in range(n)]
