"""Read the prose of a Markdown file; of a block of code, its comments and descriptions."""

import re
from collections.abc import Iterator

from tests.prose.texts import Text

FENCE = re.compile(r"\s*(?:```|~~~)(\w*)")
DESCRIPTION = re.compile(r"(?:^|\s)#\s+(?P<comment>.*)$|\S {2,}(?P<column>[^\s#].*)$")


def texts(path: str, category: str, source: str) -> Iterator[Text]:
    """Yield paragraphs, lists, cells of tables, and the descriptions in lines of code."""
    prose: list[str] = []
    first, language = 1, None
    for number, line in enumerate(source.splitlines(), 1):
        fence = FENCE.match(line)
        if not fence and language is None:
            prose += cells(line)
            continue
        if prose:
            yield Text(path, first, category, "\n".join(prose))
            prose = []
        first = number + 1
        if fence:
            language = None if language is not None else fence[1]
        elif description := described(line, language or ""):
            yield Text(path, number, category, description)
    if prose:
        yield Text(path, first, category, "\n".join(prose))


def cells(line: str) -> list[str]:
    """Return a line with the cells of a table two spaces apart; a heading without its marks.

    The lines of a cell, with `<br>` between them, are texts of their own.
    """
    if line.lstrip().startswith("|"):
        inner = re.sub(r"(?<!\\)\||<br>", "  ", line.strip().strip("|"))
        return ["" if set(inner) <= set(" -:") else inner.strip()]
    if line.lstrip().startswith("#"):
        return [line.lstrip("# ")]  # the blank line below it ends the block
    return [re.sub(r"^\s*!(?=\[)", "", line)]


def described(line: str, language: str) -> str:
    """Return the comment of a line of code, or the second column of a tree or a command."""
    match = DESCRIPTION.search(line)
    if not match:
        return ""
    if match["column"] is None:
        return match["comment"]
    return "" if language in ("python", "yaml", "json") else match["column"]
