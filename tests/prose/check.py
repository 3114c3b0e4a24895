"""Check the prose of the whole project: all texts, names and hard functions, by category."""

import gc
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from tests.prose import configs, hard, markdown, names, pages
from tests.prose.banned import banned
from tests.prose.python import Module
from tests.prose.sentences import MASK, MOST_WORDS, NOT_AN_END, split
from tests.prose.texts import LONG, ROOT, WORDS, Finding, Text

CATEGORIES = {
    "readme": "README.md",
    "docs": "docs/*.md and CHANGELOG.md",
    "conf": "comments of conf/, and values that a person reads",
    "report": "texts of the report, the figures and the claims",
    "errors": "messages, help and the console",
    "hard": "comments in the hard functions",
    "names": "names of modules, classes, functions and variables",
    "docstrings": "docstrings",
    "comments": "comments in Python",
    "tests": "docstrings, comments and names of tests",
}
ZERO = ("readme", "docs", "conf", "report", "errors", "hard")
"""Categories without a finding; of the others the totals are printed."""


def check(root: Path = ROOT, categories: Collection[str] = tuple(CATEGORIES)) -> list[Finding]:
    """Return all findings of these categories, in the order of files and lines."""
    python = modules(root, categories)
    texts = [*read(root, categories), *(text for module in python for text in module.texts())]
    findings = [
        finding for text in texts if text.category in categories for finding in examine(text)
    ]
    if "hard" in categories:
        findings += hard.findings(root)
    if "names" in categories or "tests" in categories:
        findings += [finding for module in python for finding in names.findings(module)]
    return sorted(finding for finding in findings if finding.category in categories)


def examine(text: Text) -> Iterator[Finding]:
    """Yield the banned words and the long sentences of a text."""
    for sentence in split(text.body):
        for offset, words, advice in banned(sentence):
            line = text.line + text.body.count("\n", 0, offset)
            yield Finding(text.path, line, WORDS, text.category, f"'{plain(words)}': {advice}")
        if (n_words := sentence.n_words) > MOST_WORDS:
            line = text.line + text.body.count("\n", 0, sentence.offset)
            message = f"{n_words} words: {plain(sentence.text)}"
            yield Finding(text.path, line, LONG, text.category, message)


def plain(text: str) -> str:
    """Return masked text on one line, as a terminal can show it."""
    text = " ".join(text.replace(NOT_AN_END, ".").split())
    return re.sub(f"{MASK}+", "{}", text)


def read(root: Path, categories: Collection[str]) -> Iterator[Text]:
    """Yield the texts of these categories that are not in Python files."""
    if "readme" in categories:
        yield from markdown.texts("README.md", "readme", source(root / "README.md"))
    if "docs" in categories:
        for file in [root / "CHANGELOG.md", *sorted((root / "docs").rglob("*.md"))]:
            if file.name == "board.md":  # written from claims, which are checked, and from verdicts
                continue
            yield from markdown.texts(relative(file, root), "docs", source(file))
    if "conf" in categories:
        for file in sorted((root / "conf").rglob("*.yaml")):
            yield from configs.texts(relative(file, root), source(file))
    if "report" in categories:
        for file in sorted((root / "runner").rglob("*.html")):
            yield from pages.texts(relative(file, root), "report", source(file))


def modules(root: Path, categories: Collection[str]) -> list[Module]:
    """Return the parsed Python files, those of tests if these are asked about."""
    files = [root / "ablab.py"]
    for folder in ("runner", "experiments", *(("tests",) if "tests" in categories else ())):
        files += sorted((root / folder).rglob("*.py"))
    # A syntax tree is many objects: parsing takes half the time while none are collected.
    enabled = gc.isenabled()
    gc.disable()
    try:
        return [Module(relative(file, root), source(file)) for file in files if file.is_file()]
    finally:
        if enabled:
            gc.enable()


def source(file: Path) -> str:
    """Return the text of a file."""
    return file.read_text(encoding="utf-8")


def relative(file: Path, root: Path) -> str:
    """Return the path of a file below the root, with slashes."""
    return file.relative_to(root).as_posix()
