"""Code and English from installed packages, without a network.

    code      modules of the standard library, without docstrings and tests
    english   prose of the docstrings of ENGLISH_PACKAGES, and of Python's help topics

Files of packages are parsed, and packages are not imported. A document is one file or help topic.
Files are ordered by a hash of their name, so that the first ones are a fair sample.
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
# Tests are repetitive, `encodings` has tables, `pydoc_data` is English; the others are third-party.
SKIPPED = {"tests", "test", "idle_test", "testing", "__pycache__", "site-packages", "dist-packages"}
SKIPPED |= {"_vendor", "encodings", "pydoc_data"}
DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def package_versions() -> dict[str, str]:
    """Return the versions of Python and the packages read, without local parts such as `+cpu`.

    Local parts do not change Python sources.
    """
    names = (*ENGLISH_PACKAGES, "babel", "num2words")
    versions = {name: importlib.metadata.version(name).partition("+")[0] for name in names}
    return {"python": platform.python_version(), **versions}


def modules(root: Path) -> list[Path]:
    """Return all modules under `root`, except in SKIPPED folders."""
    paths = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED]
        paths += [Path(folder, name) for name in names if name.endswith(".py")]
    return paths


def shuffled(*roots: Path) -> list[Path]:
    """Return the modules under all roots, ordered by a hash of their paths below the root."""
    named = [
        (path.relative_to(root.parent).as_posix(), path) for root in roots for path in modules(root)
    ]
    return [path for _, path in sorted(named, key=lambda pair: _digest(pair[0]))]


def read_code() -> Iterator[str]:
    """Yield the modules of the standard library, without the lines of docstrings."""
    for path in shuffled(_stdlib()):
        text, tree = _parse(path)
        if tree is None:
            continue
        lines = text.split("\n")  # the parser's line ends; splitlines() has more of them
        for docstring in _docstrings(tree):
            for line in range(docstring.lineno - 1, docstring.end_lineno or docstring.lineno):
                lines[line] = ""
        yield re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)).strip("\n")


def read_english() -> Iterator[str]:
    """Yield the prose of help topics, then of docstrings; each paragraph once, as one line."""
    used: set[str] = set()
    topics = _parse(_stdlib() / "pydoc_data" / "topics.py")[1]
    for node in ast.walk(topics) if topics else ():
        if isinstance(node, ast.Dict):
            for value in node.values:
                yield "\n".join(prose_paragraphs(ast.literal_eval(value), used))
    for path in shuffled(*map(_package, ENGLISH_PACKAGES)):
        tree = _parse(path)[1]
        if tree is not None:
            lines = [
                line
                for node in _docstrings(tree)
                for line in prose_paragraphs(str(node.value), used)
            ]
            yield "\n".join(lines)


def prose_paragraphs(docstring: str, used: set[str]) -> list[str]:
    """Return the paragraphs of a docstring that read as sentences, and add them to `used`.

    These are left out:

    - paragraphs that are in `used` already;
    - doctests with their output, headings, tables, directives;
    - the `name : type` lines of numpydoc;
    - paragraphs of fewer than eight words;
    - paragraphs of which symbols and digits are more than a fifth.
    """
    paragraphs: list[list[str]] = [[]]
    skipping = False
    for raw in docstring.splitlines():
        line = raw.strip()
        skipping = bool(line) and (skipping or line.startswith((">>>", ".. ", "$ ", "In [")))
        if line and not any(map(str.isalnum, line)):
            paragraphs[-1] = paragraphs[-1][:-1]  # the line above an underline is a heading
        if skipping or re.fullmatch(r"[^\w]*|[*\w., ]+ : .*|[*\w]+:", line):
            paragraphs.append([])
        else:
            paragraphs[-1].append(line)
    prose = []
    for text in map(" ".join, paragraphs):
        letters = sum(map(str.isalpha, text)) + text.count(" ")
        if len(text.split()) >= 8 and letters > 0.8 * len(text) and text not in used:
            used.add(text)
            prose.append(text)
    return prose


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield the docstrings in the order of the source; only statements can contain them."""
    body = getattr(tree, "body", [])
    if isinstance(tree, DEFINITIONS) and body and isinstance(body[0], ast.Expr):
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value
    for field in ("body", "orelse", "handlers", "finalbody", "cases"):
        for statement in getattr(tree, field, ()):
            yield from _docstrings(statement)


def _parse(path: Path) -> tuple[str, ast.Module | None]:
    """Return a file's text and tree, or None as tree if it is not UTF-8 or of another syntax."""
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
            f"the domain english reads the source files of {name}, which is not installed; "
            f"install it"
        )
    return Path(spec.origin).parent


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
