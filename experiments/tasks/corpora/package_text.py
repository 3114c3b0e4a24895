"""Code and English without a network, read from installed packages.

    code      stdlib modules without their docstrings and without tests
    english   prose of the docstrings of ENGLISH_PACKAGES, and of Python's own help topics

Packages are found, never imported: their files are parsed. A document is one file or help topic.
Files come in the order of a hash of their name, so that a part of them is a fair sample.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

ENGLISH_PACKAGES = ("numpy", "pandas", "matplotlib", "scipy", "torch")
# Tests repeat themselves, `encodings` is tables, `pydoc_data` is English, the others are not ours.
SKIPPED = {"tests", "test", "idle_test", "testing", "__pycache__", "site-packages", "dist-packages"}
SKIPPED |= {"_vendor", "encodings", "pydoc_data"}
DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def package_versions() -> dict[str, str]:
    """Versions of what is read here. Their local parts (`+cpu`) do not change Python sources."""
    names = (*ENGLISH_PACKAGES, "babel", "num2words")
    found = {name: importlib.metadata.version(name).partition("+")[0] for name in names}
    return {"python": platform.python_version(), **found}


def modules(root: Path) -> list[Path]:
    """All modules under `root` but those in SKIPPED folders."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED]
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    return found


def shuffled(*roots: Path) -> list[Path]:
    """The modules under all roots, in the order of a hash of their names relative to their root."""
    named = [
        (path.relative_to(root.parent).as_posix(), path) for root in roots for path in modules(root)
    ]
    return [path for _, path in sorted(named, key=lambda pair: _digest(pair[0]))]


def read_code() -> Iterator[str]:
    """Stdlib modules, the lines of docstrings cut out."""
    for path in shuffled(_stdlib()):
        text, tree = _parse(path)
        if tree is None:
            continue
        lines = text.split("\n")  # as the parser counts them; splitlines() knows more line ends
        for docstring in _docstrings(tree):
            for line in range(docstring.lineno - 1, docstring.end_lineno or docstring.lineno):
                lines[line] = ""
        yield re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)).strip("\n")


def read_english() -> Iterator[str]:
    """Prose paragraphs of help topics, then of docstrings; each paragraph once, as one line."""
    seen: set[str] = set()
    topics = _parse(_stdlib() / "pydoc_data" / "topics.py")[1]
    for node in ast.walk(topics) if topics else ():
        if isinstance(node, ast.Dict):
            for value in node.values:
                yield "\n".join(prose_paragraphs(ast.literal_eval(value), seen))
    for path in shuffled(*map(_package, ENGLISH_PACKAGES)):
        tree = _parse(path)[1]
        if tree is not None:
            found = [
                line
                for node in _docstrings(tree)
                for line in prose_paragraphs(str(node.value), seen)
            ]
            yield "\n".join(found)


def prose_paragraphs(docstring: str, seen: set[str]) -> list[str]:
    """The paragraphs of a docstring that read as sentences and are not in `seen`, which they join.

    Left out: doctests with their output, headings, tables, directives, the `name : type` lines of
    numpydoc, and paragraphs of fewer than eight words or of more than a fifth symbols and digits.
    """
    paragraphs: list[list[str]] = [[]]
    skipping = False
    for raw in docstring.splitlines():
        line = raw.strip()
        skipping = bool(line) and (skipping or line.startswith((">>>", ".. ", "$ ", "In [")))
        if line and not any(map(str.isalnum, line)):
            paragraphs[-1] = paragraphs[-1][:-1]  # the line over an underline is a heading
        if skipping or re.fullmatch(r"[^\w]*|[*\w., ]+ : .*|[*\w]+:", line):
            paragraphs.append([])
        else:
            paragraphs[-1].append(line)
    kept = []
    for text in map(" ".join, paragraphs):
        letters = sum(map(str.isalpha, text)) + text.count(" ")
        if len(text.split()) >= 8 and letters > 0.8 * len(text) and text not in seen:
            seen.add(text)
            kept.append(text)
    return kept


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Docstrings in the order of the source; only statements can hold them."""
    body = getattr(tree, "body", [])
    if isinstance(tree, DEFINITIONS) and body and isinstance(body[0], ast.Expr):
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value
    for field in ("body", "orelse", "handlers", "finalbody", "cases"):
        for statement in getattr(tree, field, ()):
            yield from _docstrings(statement)


def _parse(path: Path) -> tuple[str, ast.Module | None]:
    """A file and its tree; None for the few that are not UTF-8 or not this Python's syntax."""
    try:
        text = path.read_text(encoding="utf-8")
        return text, ast.parse(text)
    except (SyntaxError, ValueError):
        return "", None


def _stdlib() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(
            f"the domain english reads the sources of {name}, which is not installed; install it"
        )
    return Path(spec.origin).parent


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
