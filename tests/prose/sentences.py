"""Split a text into sentences and count their words.

A sentence ends at `.`, `!`, `?` or `:` before a capital, a digit, a quote or the end of its block.
A semicolon does not end one. Blocks are paragraphs, items of lists, entries such as `path: a file`,
and cells of tables, whose columns are two or more spaces apart.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_WORDS = 25

MASK = "\ue000"
"""Stands for each character of a code span or address, and for the value in an f-string."""

NOT_AN_END = "\ue001"
"""Stands for the full stop of an abbreviation and for an ellipsis."""

CODE = re.compile(r"``.+?``|`[^`]+`", re.DOTALL)
ADDRESS = re.compile(r"\b(?:https?|file)://\S+[^\s.,;:)]")
LINK = re.compile(r"(?<=\])\([^)\s]+\)")
CITATION = re.compile(r"\([^()]*\b(?:18|19|20)\d\d[^()]*\)")
ABBREVIATION = re.compile(
    r"\b(?:e\.g|i\.e|et al|vs|cf|[Ff]igs?|[Ss]ec|[Ee]qs?|approx|resp)\.|\.\.\."
)
UNIT = re.compile(
    r"(?<=\d) +(?=(?:%|‰|s|ms|µs|us|min|h|B|KiB|MiB|GiB|TiB|kB|MB|GB|TB|nats|bits|px|pt|k|M|G)\b|%)"
)
START = rf"""\s+(?:[(+<{{-]*[A-Z0-9{MASK}]|[\["'\u201c\u2018*_]|[a-z][a-z0-9]*(?:[._=]\w|:\s))"""
END = re.compile(
    rf"""[.!?]["'\u201d\u2019)\]*_]*(?={START}|\s*$)|:(?=\s+["'\u201c*_(]*[A-Z]|\s*$)"""
)
OPENING = " \n\t-*•_#>(\"'\u201c\u2018"
BULLET = re.compile(r"\s*(?:[-*•]|\d+[.)])\s+")
ENTRY = re.compile(rf"\s*[{MASK}\w.*/<>-]+(?:, [{MASK}\w.*/<>-]+)*:\s")
GAP = re.compile(r"(?<=\S)[ \t]{2,}(?=\S)")
WORD = re.compile(rf"[\w{MASK}]")


@dataclass(frozen=True)
class Sentence:
    """A sentence, with its code spans masked, and its offset in the text."""

    offset: int
    text: str

    @property
    def n_words(self) -> int:
        """Count words: a number with its unit and a code span are one, a citation is not one."""
        text = UNIT.sub("", CITATION.sub(" ", self.text))
        return sum(1 for word in text.split() if WORD.search(word))

    @property
    def is_question(self) -> bool:
        """Whether the sentence ends with a question mark."""
        return self.text.rstrip("\"'\u201d\u2019)]*_ \n").endswith("?")


def split(body: str) -> list[Sentence]:
    """Return the sentences of a text; offsets are those of `body`."""
    masked = mask(body)
    sentences: list[Sentence] = []
    for start, stop in blocks(masked):
        block, begin = masked[start:stop], 0
        for end in [match.end() for match in END.finditer(block)] + [len(block)]:
            piece = block[begin:end]
            if WORD.search(piece):
                bare = piece.lstrip(OPENING)
                offset = start + begin + len(piece) - len(bare)
                sentences.append(Sentence(offset, bare.rstrip()))
            begin = end
    return sentences


def mask(body: str) -> str:
    """Mask code, addresses and the stops of abbreviations; the length stays."""
    for pattern in (CODE, ADDRESS, LINK):
        body = pattern.sub(lambda match: MASK * len(match[0]), body)
    return ABBREVIATION.sub(lambda match: match[0].replace(".", NOT_AN_END), body)


def blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each block of lines that may hold one sentence."""
    start = offset = indent = 0
    hanging = colon = entries = False
    for line in text.splitlines(keepends=True):
        depth = len(line) - len(line.lstrip())
        blank = not line.strip()
        # A dedent ends an item with indented lines; a list may follow a line that ends in a colon.
        new = blank or (hanging and depth <= indent) or (colon and depth > indent)
        # A wrapped line may look like an entry: it is one if it is indented, or follows another.
        entry = bool(ENTRY.match(line)) and (depth > 0 or entries)
        if start < offset and (new or entry or starts_block(line)):
            yield start, offset
            start = offset
        if start == offset:
            indent, hanging = depth, bool(BULLET.match(line))
            entries = bool(ENTRY.match(line))
        else:
            hanging = hanging or depth > indent
        # The cells of a row are blocks; the last one may continue in the lines below it.
        for gap in GAP.finditer(line):
            yield start, offset + gap.start()
            start = offset + gap.end()
        colon = line.rstrip().endswith(":")
        offset += len(line)
    if start < offset:
        yield start, offset


def starts_block(line: str) -> bool:
    """Whether a line begins an item of a list or a row of a table."""
    return bool(BULLET.match(line) or GAP.search(line.strip()))
