"""Texts from users' data for drawing: with existing glyphs, short, and distinct."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

FONTS = ("DejaVu Sans", "IPAexGothic")
MAX_TEXT_WIDTH = 28  # columns of a name on an axis or next to a line
CHARACTER_WIDTH = 0.6  # mean width of a column, as a share of the font size
# Controls, invisible formatting, lone surrogates, line and paragraph separators.
ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def level_text(column: str, level: Any) -> str:
    """Return the text of a level: numbers with the column, as `expert 3`, and names alone."""
    is_number = isinstance(level, (int, np.integer, float))
    return f"{column} {level}" if is_number else str(level)


def level_texts(column: str, levels: Iterable[Any]) -> dict[Any, str]:
    """Return the text of each level, shortened and distinct by `distinct_texts`."""
    levels = list(levels)
    texts = distinct_texts(level_text(column, level) for level in levels)
    return dict(zip(levels, texts, strict=True))


def drawable_text(text: str) -> str:
    """Return a text with a box for each character without a glyph; call it in `canvas.style()`.

    Invisible characters, such as a line separator or half of a surrogate pair, are escaped.
    Texts come from users' data, and matplotlib would warn about every such character.
    """
    return "".join(_drawable_character(character) for character in text)


def distinct_texts(texts: Iterable[str], longest: int = MAX_TEXT_WIDTH) -> list[str]:
    """Return drawable texts of at most `longest` columns; different texts stay different.

    Texts that would look the same keep more of their middle, or get a number.
    """
    texts = list(texts)
    unique = list(dict.fromkeys(texts))
    whole = _numbered([drawable_text(text) for text in unique])
    short = [shorten_middle(text, longest) for text in whole]
    if len(set(short)) < len(unique):
        short = _numbered([shorten_middle(text, 2 * longest) for text in whole])
    drawn = dict(zip(unique, short, strict=True))
    return [drawn[text] for text in texts]


def shorten_middle(text: str, longest: int) -> str:
    """Return a text of at most `longest` columns: a longer one loses its middle."""
    if text_width(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return _fitting(text, longest - 1 - tail) + "…" + _fitting(text[::-1], tail)[::-1]


def text_width(text: str) -> int:
    """Return the number of columns of a text; a Japanese character has two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _fitting(text: str, n_columns: int) -> str:
    end = 0
    while end < len(text) and text_width(text[: end + 1]) <= n_columns:
        end += 1
    return text[:end]


def _numbered(texts: list[str]) -> list[str]:
    """Return the texts, with a unique number after each one that occurs again."""
    counts, used = Counter(texts), set(texts)
    distinct = []
    for text in texts:
        number, new = 1, text
        while counts[text] > 1 and new in used:
            new = f"{text} ({number})"
            number += 1
        used.add(new)
        distinct.append(new)
    return distinct


def _drawable_character(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in ESCAPED:
        return character.encode("unicode_escape").decode("ascii")
    if kind == "Zs":
        return " "
    return character if ord(character) in _glyphs() else "\N{WHITE SQUARE}"


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    files = [findfont(FontProperties(family=family)) for family in FONTS]
    return frozenset(code for file in files for code in get_font(file).get_charmap())
