"""Render tables and texts as Markdown for TensorBoard's Text tab."""

import re
from collections.abc import Sequence

from runner.figures.figure import Figure, TextTable


def render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; cells are Markdown, except that `|` and line breaks are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )


def code_block(text: str) -> str:
    """Return the text unchanged, as a block of code."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def literal(text: str) -> str:
    """Return a text escaped so that no part of it acts as emphasis, link or HTML."""
    without_html = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]])", r"\\\1", without_html)


def render_text_table(figure: Figure, texts: TextTable) -> str:
    """Return a figure that is a table of texts: title, caption, note and rows."""
    body = [
        [_mark(cell) if isinstance(cell, bool) else literal(cell) for cell in row]
        for row in texts.rows
    ]
    head = [literal(name) for name in texts.head]
    above = [f"**{literal(figure.title)}**", literal(figure.caption), literal(texts.note)]
    return "\n\n".join([*filter(None, above), render_table(head, body)])


def _mark(truth: bool) -> str:
    return "\N{CHECK MARK} yes" if truth else "\N{BALLOT X} no"
