"""The text of a PDF that Chromium has printed: pages, characters of its fonts, glyphs on paper."""

import re
import zlib
from dataclasses import dataclass

PAGE = re.compile(rb"/Type\s*/Page\b")
STREAM = re.compile(rb">>\s*stream\r?\n(.*?)\r?\nendstream", re.DOTALL)
HEX = rb"<([0-9A-Fa-f]+)>"
CHARACTER = re.compile(rb"^\s*" + HEX + rb"\s+" + HEX + rb"\s*$", re.MULTILINE)
RANGE = re.compile(rb"^\s*" + HEX + rb"\s+" + HEX + rb"\s+" + HEX + rb"\s*$", re.MULTILINE)
TEXT = re.compile(rb"(?m)^BT$")  # text begins: pictures have no such line
SHOWN = re.compile(rb"(\[[^\]]*\]\s*TJ|<[0-9A-Fa-f]+>\s*Tj)")


@dataclass(frozen=True)
class PrintedText:
    """The pages of a PDF, the characters that its fonts can show, and its number of glyphs."""

    n_pages: int
    characters: frozenset[str]
    n_glyphs: int


def read_pdf(pdf: bytes) -> PrintedText:
    """Read a PDF; Chromium writes a ToUnicode table for each font and glyphs as hexadecimals."""
    characters: set[str] = set()
    n_glyphs = 0
    for match in STREAM.finditer(pdf):
        try:
            content = zlib.decompress(match[1])
        except zlib.error:  # a picture or a font, which has other contents
            continue
        if b"begincmap" in content:
            characters |= characters_of(content)
        elif TEXT.search(content):
            n_glyphs += sum(
                len(digits) // 4
                for operator in SHOWN.findall(content)
                for digits in re.findall(HEX, operator)
            )
    return PrintedText(len(PAGE.findall(pdf)), frozenset(characters), n_glyphs)


def characters_of(table: bytes) -> set[str]:
    """Return the characters of a ToUnicode table."""
    single = {decode(text) for _, text in CHARACTER.findall(table)}
    for first, last, text in RANGE.findall(table):
        start = decode(text)
        single |= {
            start[:-1] + chr(ord(start[-1]) + at)
            for at in range(int(last, 16) - int(first, 16) + 1)
        }
    return set("".join(single))


def decode(digits: bytes) -> str:
    """Return the text of hexadecimal digits in UTF-16."""
    return bytes.fromhex(digits.decode()).decode("utf-16-be", errors="replace")
