"""How texts from anybody's data are drawn: with glyphs that exist, short enough, told apart."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

FONTS = ("DejaVu Sans", "IPAexGothic")
MAX_TEXT_WIDTH = 28  # columns of a name on an axis or beside a line; a longer one loses its middle
CHARACTER_WIDTH = 0.6  # mean width of a column, of the font size
# Controls, invisible formatting, lone surrogates, line and paragraph separators.
ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def level_text(column: str, level: Any) -> str:
    """How a level reads: `expert 3`, but `code` and not `label code`."""
    is_number = isinstance(level, (int, np.integer, float))
    return f"{column} {level}" if is_number else str(level)


def level_texts(column: str, levels: Iterable[Any]) -> dict[Any, str]:
    """How each level is drawn beside the others, as `distinct_texts` says."""
    levels = list(levels)
    texts = distinct_texts(level_text(column, level) for level in levels)
    return dict(zip(levels, texts, strict=True))


def drawable_text(text: str) -> str:
    """The text with a box for each character that no font of ours has; for use in `canvas.style()`.

    What cannot be seen, such as a line separator or half of a surrogate pair, is escaped.
    Matplotlib would warn about every such character, and texts come from anybody's data.
    """
    return "".join(_shown(character) for character in text)


def distinct_texts(texts: Iterable[str], longest: int = MAX_TEXT_WIDTH) -> list[str]:
    """The texts, legible and of so many columns at most; different ones stay different.

    A text that would read as another keeps more of its middle, or gets a number.
    """
    texts = list(texts)
    unique = list(dict.fromkeys(texts))
    whole = _numbered([drawable_text(text) for text in unique])
    short = [shorten_middle(text, longest) for text in whole]
    if len(set(short)) < len(unique):
        short = _numbered([shorten_middle(text, 2 * longest) for text in whole])
    shown = dict(zip(unique, short, strict=True))
    return [shown[text] for text in texts]


def shorten_middle(text: str, longest: int) -> str:
    """The text, without its middle where it takes more than so many columns."""
    if text_width(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return _fitting(text, longest - 1 - tail) + "…" + _fitting(text[::-1], tail)[::-1]


def text_width(text: str) -> int:
    """Columns that a text takes; a Japanese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _fitting(text: str, room: int) -> str:
    end = 0
    while end < len(text) and text_width(text[: end + 1]) <= room:
        end += 1
    return text[:end]


def _numbered(texts: list[str]) -> list[str]:
    """Texts that occur more than once, each with a number that no other has."""
    often, taken = Counter(texts), set(texts)
    made = []
    for text in texts:
        number, new = 1, text
        while often[text] > 1 and new in taken:
            new = f"{text} ({number})"
            number += 1
        taken.add(new)
        made.append(new)
    return made


def _shown(character: str) -> str:
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
