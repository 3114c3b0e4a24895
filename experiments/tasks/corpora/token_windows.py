"""Evaluation windows of tokens whose bytes share no text with training.

Equal bytes may be tokens in different ways, so overlaps are searched in bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.tasks.corpora.bpe import Ids, Vocabulary
from experiments.tasks.corpora.windows import Hashes, Window, contains, rolling_hashes


@dataclass(frozen=True)
class TokenWindow(Window):
    """A stretch of held-out text with its tokens."""

    tokens: Ids


def unseen_token_windows(
    documents: Sequence[bytes], vocabulary: Vocabulary, known: Hashes, length: int
) -> list[TokenWindow]:
    """Return windows of `length` + 1 tokens that share no `length` consecutive bytes with training.

    Args:
        documents: held-out text.
        vocabulary: the vocabulary.
        known: sorted hashes of all stretches of `length` bytes of all training text.
        length: of the input, in tokens.
    """
    windows = []
    sizes = vocabulary.sizes()
    for index, document in enumerate(documents):
        tokens = vocabulary.encode(document)
        if len(tokens) <= length:
            continue
        data = np.frombuffer(document, np.uint8)
        ends = np.concatenate([[0], np.cumsum(sizes[tokens])])
        # The number of known stretches that begin before each byte.
        n_known = np.concatenate([[0], np.cumsum(contains(known, rolling_hashes(data, length)))])
        first, last = ends[: -length - 1], ends[length + 1 :] - length
        starts = np.flatnonzero(n_known[last + 1] == n_known[first])
        # Take the first start after the previous window, so that windows do not overlap.
        next_start = 0
        while (position := int(np.searchsorted(starts, next_start))) < len(starts):
            begin = int(starts[position])
            next_start = begin + length + 1
            text = data[ends[begin] : ends[next_start]]
            windows.append(TokenWindow(index, text, tokens[begin:next_start]))
    return windows


def cut_pieces(windows: Sequence[Window], length: int) -> list[list[NDArray[np.uint8]]]:
    """Return the text of each window in pieces of `length` + 1 bytes; the last may overlap."""
    pieces = []
    for window in windows:
        n = len(window.text)
        starts = [*range(0, n - length - 1, length + 1), n - length - 1]
        pieces.append([window.text[start : start + length + 1] for start in starts])
    return pieces


def stack_tokens(windows: Sequence[TokenWindow], known: Hashes, length: int) -> Ids:
    """Return the tokens of windows (n, length + 1), after a second check against training text."""
    if not windows:
        return np.zeros((0, length + 1), np.uint16)
    for window in windows:
        assert not contains(known, rolling_hashes(window.text, length)).any(), (
            "an evaluation window occurs in the training text"
        )
    return np.stack([window.tokens for window in windows])


def vocabulary_arrays(texts: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    """Return the bytes of all tokens, one after the other, and the end of each."""
    return {
        "token_text": np.frombuffer(b"".join(texts), np.uint8),
        "token_ends": np.cumsum([len(text) for text in texts]),
    }


def read_token_texts(arrays: dict[str, NDArray[Any]]) -> list[bytes]:
    """Return the bytes of each token, from the arrays of a corpus."""
    text, ends = arrays["token_text"].tobytes(), [0, *arrays["token_ends"].tolist()]
    return [text[first:end] for first, end in pairwise(ends)]
