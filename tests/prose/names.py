"""Names that say nothing of their content, and names of the old dialect (rule 3 of the style)."""

import ast
from collections.abc import Iterator
from pathlib import PurePath

from tests.prose.python import Module
from tests.prose.texts import NAMES, Finding

EMPTY = {
    "found", "told", "made", "kept", "shown", "there", "lacking", "given", "gone", "taken", "seen",
    "wanted", "held", "here", "alone", "beside", "much",
}  # fmt: skip
"""Participles and adverbs; a name says its content instead: `metrics`, `message`, `rows`, `path`."""

OLD = {
    "Course", "Further", "Rig", "rig", "copies", "look", "Watch", "Loop", "Banded", "Measured",
    "Taken", "Kept", "Told", "Found",
}  # fmt: skip
"""Names of classes, functions and modules that had a private meaning."""


def findings(module: Module) -> Iterator[Finding]:
    """Yield a finding for each such name, once in each function."""
    category = "tests" if module.path.startswith("tests/") else "names"

    def finding(line: int, name: str, what: str) -> Finding:
        return Finding(module.path, line, NAMES, category, f"{what} `{name}`: name its content")

    for part in PurePath(module.path).with_suffix("").parts:
        if part in EMPTY | OLD:
            yield finding(1, part, "module")
    seen: set[tuple[int, str]] = set()
    for scope, line, name, what in assigned(module.tree, 0):
        bare = name.strip("_")
        banned = bare in EMPTY or (what in ("class", "function") and bare in OLD)
        if banned and (scope, name) not in seen:
            seen.add((scope, name))
            yield finding(line, name, what)


def assigned(node: ast.AST, scope: int) -> Iterator[tuple[int, int, str, str]]:
    """Yield scope, line, name and kind of all that is named below a node."""
    for child in ast.iter_child_nodes(node):
        inner = scope
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield scope, child.lineno, child.name, "function"
            inner = child.lineno
        elif isinstance(child, ast.ClassDef):
            yield scope, child.lineno, child.name, "class"
            inner = child.lineno
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield scope, child.lineno, child.id, "variable"
        elif isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Store):
            yield scope, child.lineno, child.attr, "attribute"
        elif isinstance(child, ast.arg):
            yield scope, child.lineno, child.arg, "parameter"
        elif isinstance(child, ast.alias) and child.asname:
            yield scope, child.lineno, child.asname, "import"
        elif isinstance(child, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and child.name:
            yield scope, child.lineno, child.name, "variable"
        yield from assigned(child, inner)
