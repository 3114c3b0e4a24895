"""When two texts are the same text: white space, line ends, BOM, encoding and Unicode form aside.

Texts are compared in their compatibility form (NFKC), as which é, and e with an accent behind it,
are one, and so are a full-width and a plain 1. That form is for comparing alone: a text that is
equal in it is certainly no fresh text, while models learn from the bytes as they are.
"""

import codecs
import hashlib
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.tasks.corpora.windows import Bytes, rolling_hashes

# Their signatures; the longer first, since that of UTF-32 begins with that of UTF-16.
WIDE = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# A soft hyphen, a zero-width space, a word joiner and a BOM: nobody sees them.
UNSEEN = dict.fromkeys((0x00AD, 0x200B, 0x2060, 0xFEFF))
CONTROLS = bytes(set(range(32)) - set(b"\b\t\n\v\f\r\x1b")) + b"\x7f"
MOST_CONTROLS = 0.01  # share of a text in an encoding that is not known
LEAST = 8  # bytes of a window that can be recognised


def decode_to_utf8(data: bytes) -> bytes:
    """The text as UTF-8 without a BOM where its first bytes name its encoding, else as it is."""
    for signature, encoding in WIDE.items():
        if data.startswith(signature):
            try:
                return data.decode(encoding).encode()
            except UnicodeError:
                return data
    return data.removeprefix(codecs.BOM_UTF8)


def looks_like_text(data: bytes) -> bool:
    """Whether bytes, as `decode_to_utf8` returns them, are text: UTF-8, or few control characters; no NUL.

    The latter are texts in older encodings, which are read byte by byte.
    """
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return len(data) - len(data.translate(None, CONTROLS)) <= MOST_CONTROLS * len(data)
    return True


def normalise(data: bytes) -> bytes:
    """The form in which texts are compared; empty where nothing is to be seen."""
    if data.isascii():
        return b" ".join(data.split())
    text = unicodedata.normalize("NFKC", data.decode(errors="surrogateescape")).translate(UNSEEN)
    return " ".join(text.split()).encode(errors="surrogateescape")


def dedup_key(data: bytes) -> bytes | None:
    """Equal exactly for texts that are the same; None where nothing is to be seen."""
    form = normalise(data)
    return hashlib.sha256(form).digest() if form else None


def find_normalised_overlap(windows: Sequence[Bytes], known: bytes) -> NDArray[np.bool_]:
    """Which windows, written in whatever way, occur in the `known` text.

    A window counts as known if its first seven eighths do, in a row. Its ends are not compared
    where they may have been cut in two. Windows of little but white space count as not known.
    """
    lengths = [LEAST]
    while windows and lengths[-1] <= len(windows[0]):
        lengths.append(max(lengths[-1] + 1, lengths[-1] * 8 // 7))
    pieces = [normalise(_without_ends(window.tobytes())) for window in windows]
    sizes = np.array([len(piece) for piece in pieces], np.int64)
    rung = np.searchsorted(lengths, sizes, "right") - 1
    text = np.frombuffer(normalise(known), np.uint8)
    found = np.zeros(len(windows), bool)
    for index in np.unique(rung[rung >= 0]):
        length, members = lengths[index], np.flatnonzero(rung == index)
        heads = b"".join(pieces[member][:length] for member in members)
        hashes = rolling_hashes(np.frombuffer(heads, np.uint8), length)[::length]
        found[members] = _occur(hashes, rolling_hashes(text, length))
    return found


def _occur(wanted: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of the few `wanted` are among the many `hashes`, which need not be sorted for that."""
    few = np.unique(wanted)
    place = np.minimum(np.searchsorted(few, hashes), len(few) - 1)
    there = np.zeros(len(few), bool)
    there[place[few[place] == hashes]] = True
    return there[np.searchsorted(few, wanted)]


def _without_ends(data: bytes) -> bytes:
    """A window without what may be cut in two: bytes of a character, and parts of a letter."""
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
    """Whether a character is a lone byte, an accent or the end of a Korean syllable."""
    lone = "\udc80" <= character <= "\udcff"
    return lone or bool(unicodedata.combining(character)) or "\u1160" <= character <= "\u11ff"
