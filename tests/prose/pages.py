"""Read the prose of an HTML template."""

import re
from collections.abc import Iterator

from tests.prose.sentences import MASK
from tests.prose.texts import Text

HIDDEN = re.compile(r"<(style|script)\b.*?</\1>|<!--.*?-->|\{#.*?#\}", re.DOTALL)
VALUE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
STATEMENT = re.compile(r"\{%.*?%\}", re.DOTALL)
QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")
EMPHASIS = re.compile(r"</?(?:b|i|em|strong)>")
INLINE = re.compile(r"</?(?:span|code|a|small|sub|sup|abbr)\b[^>]*>")
CODE = re.compile(r"<code\b[^>]*>.*?</code>", re.DOTALL)
TAG = re.compile(r"<[^>]*>")


def texts(path: str, category: str, source: str) -> Iterator[Text]:
    """Yield the text between tags that begin a block, and the strings inside of expressions."""
    source = HIDDEN.sub(lambda match: blank(match[0]), source)
    for expression in (*VALUE.finditer(source), *STATEMENT.finditer(source)):
        for quoted in QUOTED.finditer(expression[0]):
            start = expression.start() + quoted.start()
            line = source.count("\n", 0, start) + 1
            yield Text(path, line, category, quoted[1] or quoted[2] or "")
    source = VALUE.sub(lambda match: MASK * len(match[0]), source)
    source = CODE.sub(lambda match: MASK * len(match[0]), source)
    source = STATEMENT.sub(lambda match: blank(match[0]), source)
    source = INLINE.sub(" ", EMPHASIS.sub("*", source))
    line = 1
    for piece, tag in zip([*TAG.split(source)], [*TAG.findall(source), ""], strict=True):
        body = re.sub(r"[ \t]+", " ", piece)
        if body.strip():
            yield Text(path, line, category, body)
        line += piece.count("\n") + tag.count("\n")


def blank(text: str) -> str:
    """Return the line breaks of a text."""
    return "\n" * text.count("\n")
