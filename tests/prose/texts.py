"""The unit that the checker reads: a text with its place, and a finding about it."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

WORDS, LONG, NAMES, COMMENTS = (
    "banned words",
    "sentences over 25 words",
    "variables",
    "missing comments",
)
KINDS = (WORDS, LONG, NAMES, COMMENTS)
"""The kinds of findings, which are the columns of the table."""


@dataclass(frozen=True)
class Text:
    """Prose of one place: a docstring, a comment, a message, a paragraph of Markdown.

    Attributes:
        path: the file, relative to the root of the project.
        line: the line of the file in which `body` begins.
        category: the row group of the table, e.g. `conf`.
        body: the text with its line breaks.
    """

    path: str
    line: int
    category: str
    body: str


@dataclass(frozen=True, order=True)
class Finding:
    """One fault at one line of a file."""

    path: str
    line: int
    kind: str
    category: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.message}"
