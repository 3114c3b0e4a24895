"""Decide whether texts are equal except for white space, line ends, BOM, encoding, Unicode form.

Texts are compared in Unicode's compatibility form, NFKC. In it, é equals e followed by an accent,
and a full-width 1 equals a plain 1. This is used for comparisons only: equal texts are certainly
not unseen. Models learn from the original bytes.
"""

import codecs
import hashlib
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.tasks.corpora.windows import Bytes, rolling_hashes

# The longer signatures come first, since that of UTF-32 begins with that of UTF-16.
WIDE_ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# A soft hyphen, a zero-width space, a word joiner and a BOM.
INVISIBLE = dict.fromkeys((0x00AD, 0x200B, 0x2060, 0xFEFF))
CONTROLS = bytes(set(range(32)) - set(b"\b\t\n\v\f\r\x1b")) + b"\x7f"
MAX_CONTROLS = 0.01
"""The largest share of control characters in a text of an unknown encoding."""
MIN_BYTES = 8
"""The smallest number of bytes by which a window is recognised in another text."""


def decode_to_utf8(data: bytes) -> bytes:
    """Return text as UTF-8 without a BOM if it begins with one, otherwise the bytes unchanged."""
    for signature, encoding in WIDE_ENCODINGS.items():
        if data.startswith(signature):
            try:
                return data.decode(encoding).encode()
            except UnicodeError:
                return data
    return data.removeprefix(codecs.BOM_UTF8)


def looks_like_text(data: bytes) -> bool:
    """Return whether bytes from `decode_to_utf8` are text.

    Text has no NUL, and is valid UTF-8 or has few control characters. The latter are texts in older
    encodings, which are read byte by byte.
    """
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return len(data) - len(data.translate(None, CONTROLS)) <= MAX_CONTROLS * len(data)
    return True


def normalise(data: bytes) -> bytes:
    """Return text as it is compared; empty if it has no visible character."""
    if data.isascii():
        return b" ".join(data.split())
    text = unicodedata.normalize("NFKC", data.decode(errors="surrogateescape")).translate(INVISIBLE)
    return " ".join(text.split()).encode(errors="surrogateescape")


def dedup_key(data: bytes) -> bytes | None:
    """Return a key that is equal for equal normalised texts, or None without visible characters."""
    normalised = normalise(data)
    return hashlib.sha256(normalised).digest() if normalised else None


def find_normalised_overlap(windows: Sequence[Bytes], known: bytes) -> NDArray[np.bool_]:
    """Return which windows occur in the `known` text, compared in normalised form.

    A window counts as known if its first seven eighths occur in one piece. The ends of a window are
    not compared, where a character may be cut. Windows of mostly white space count as unknown.
    """
    # Windows are grouped into few lengths, each about a seventh longer than the last. The known
    # text is then hashed once for each length, instead of once for each window.
    lengths = [MIN_BYTES]
    while windows and lengths[-1] <= len(windows[0]):
        lengths.append(max(lengths[-1] + 1, lengths[-1] * 8 // 7))
    pieces = [normalise(_without_ends(window.tobytes())) for window in windows]
    sizes = np.array([len(piece) for piece in pieces], np.int64)
    length_index = np.searchsorted(lengths, sizes, "right") - 1
    text = np.frombuffer(normalise(known), np.uint8)
    occurs = np.zeros(len(windows), bool)
    for index in np.unique(length_index[length_index >= 0]):
        length, members = lengths[index], np.flatnonzero(length_index == index)
        heads = b"".join(pieces[member][:length] for member in members)
        hashes = rolling_hashes(np.frombuffer(heads, np.uint8), length)[::length]
        occurs[members] = _occur(hashes, rolling_hashes(text, length))
    return occurs


def _occur(sought: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of the few `sought` hashes are among the many unsorted `hashes`."""
    few = np.unique(sought)
    position = np.minimum(np.searchsorted(few, hashes), len(few) - 1)
    occurs = np.zeros(len(few), bool)
    occurs[position[few[position] == hashes]] = True
    return occurs[np.searchsorted(few, sought)]


def _without_ends(data: bytes) -> bytes:
    """Return a window without characters at its ends that may be incomplete."""
    if data.isascii():
        return data[:-1]  # an accent may follow
    text = data.decode(errors="surrogateescape")
    first, last = 0, len(text)
    while first < min(3, last) and _continues(text[first]):
        first += 1
    while last > max(first, len(text) - 3) and _continues(text[last - 1]):
        last -= 1
    return text[first : max(first, last - 1)].encode(errors="surrogateescape")


def _continues(character: str) -> bool:
    """Return whether a character is a lone byte, an accent or the end of a Korean syllable."""
    lone = "\udc80" <= character <= "\udcff"
    return lone or bool(unicodedata.combining(character)) or "\u1160" <= character <= "\u11ff"
