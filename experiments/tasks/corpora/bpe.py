"""Byte-level BPE: a vocabulary that is learned from training text, and texts as its tokens.

The package tokenizers does both (Sennrich et al. 2016). It gets each byte as one character. So any
bytes can be encoded, and a token has a known number of bytes.
"""

import contextlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MIN_VOCABULARY, MAX_VOCABULARY = 257, 65_536
"""The bytes and one merge; and the ids that fit into 16 bits."""
LONGEST_WORD = 60
"""The most bytes of a match of `WORDS`, without the space before it. Without a limit, the time
would grow with the square of a line without white space. Characters of 2, 3 or 4 bytes divide it,
so a long run of them is cut between characters."""
CHUNK_BYTES, LONGEST_CHUNK = 65_536, 4096 * LONGEST_WORD
"""Texts are encoded in chunks of lines of about this size. A line beyond the second size is cut
there, since the package needs 300 bytes of memory for a byte of text."""
PARALLELISM = "TOKENIZERS_PARALLELISM"
WORDS = (
    " ?[A-Za-z\x80-\xff]{1,N}| ?[0-9]{1,N}| ?[^ \t\n\r\f\vA-Za-z0-9\x80-\xff]{1,N}"
    "|[ \t\n\r\f\v]{1,N}(?![^ \t\n\r\f\v])|[ \t\n\r\f\v]{1,N}"
).replace("N", str(LONGEST_WORD))
"""A token lies within a match: letters, digits, signs or white space. As in GPT-2, a space belongs
to the word after it. Every byte above 127 is a letter, so a token may cross characters. A longer
run, such as a line of Chinese or base64, is several matches."""

Ids = NDArray[np.uint16]


@dataclass(frozen=True)
class Vocabulary:
    """A learned vocabulary.

    Attributes:
        tokenizer: the tokenizer of the package.
        texts: the bytes of each token.
    """

    tokenizer: "Tokenizer"
    texts: Sequence[bytes]

    def sizes(self) -> NDArray[np.int64]:
        """Return the number of bytes of each token."""
        return np.array([len(text) for text in self.texts], np.int64)

    def encode(self, text: bytes) -> Ids:
        """Return the ids of a text; the texts of the ids, joined, are the text."""
        with _one_thread():
            ids = [np.array(self.tokenizer.encode(c).ids, np.uint16) for c in _chunks(text)]
        return np.concatenate(ids) if ids else np.zeros(0, np.uint16)


def check_bpe_available() -> None:
    """Raise ValueError if the package tokenizers is not installed."""
    if importlib.util.find_spec("tokenizers") is None:
        raise ValueError(
            "tokenizer=bpe needs the package tokenizers; install it with "
            "python -m pip install tokenizers"
        )


def bpe_version() -> str:
    """Return the version of the package."""
    return version("tokenizers")


def learn_vocabulary(texts: Sequence[bytes], size: int) -> Vocabulary:
    """Learn a vocabulary of `size` tokens from training texts.

    The order of the texts does not matter: counts of words decide, and ties go to the smaller ids.

    Raises:
        ValueError: the texts have too few tokens that occur twice.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=[chr(byte) for byte in range(256)],
        show_progress=False,
    )
    with _one_thread():
        tokenizer.train_from_iterator((c for text in texts for c in _chunks(text)), trainer)
    n = tokenizer.get_vocab_size()
    if n < size:
        lower = f"lower it to at most {n}" if n >= MIN_VOCABULARY else "use task.tokenizer=bytes"
        raise ValueError(
            f"task.vocabulary={size}: the training text has only {n} tokens that occur twice; "
            f"{lower}, or give more text"
        )
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return Vocabulary(tokenizer, [token.encode("latin-1") for token, _ in tokens])


def _chunks(text: bytes) -> Iterator[str]:
    """Yield a text in chunks that end after a line, with one character for each byte."""
    first = 0
    while first < len(text):
        last = min(first + LONGEST_CHUNK, len(text))
        end = text.find(b"\n", first + CHUNK_BYTES, last) + 1 or last
        yield text[first:end].decode("latin-1")
        first = end


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep the package from starting threads, which a later fork of this process would break."""
    before = os.environ.get(PARALLELISM)
    os.environ[PARALLELISM] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[PARALLELISM]
        else:
            os.environ[PARALLELISM] = before
