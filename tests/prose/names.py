"""Names that do not say their content, and names of the old dialect (rule 3 of the style)."""

from collections.abc import Iterator
from pathlib import PurePath

from tests.prose.python import Module
from tests.prose.texts import NAMES, Finding

EMPTY = {
    "found", "told", "made", "kept", "shown", "there", "lacking", "given", "gone", "taken", "seen",
    "wanted", "held", "here", "alone", "beside", "much",
}  # fmt: skip
"""Participles and adverbs. A name says its content instead: `metrics`, `message`, `rows`."""

OLD = {
    "Course", "Further", "Rig", "rig", "copies", "look", "Watch", "Loop", "Banded", "Measured",
    "Taken", "Kept", "Told", "Found",
}  # fmt: skip
"""Names of classes, functions and modules that had a private meaning."""


def findings(module: Module) -> Iterator[Finding]:
    """Yield a finding for each such name, once in each function."""
    category = "tests" if module.is_test else "names"
    for part in PurePath(module.path).with_suffix("").parts:
        if part in EMPTY | OLD:
            yield Finding(module.path, 1, NAMES, category, f"module `{part}`: name its content")
    reported: set[tuple[int, str]] = set()
    for assigned in module.names:
        is_empty = assigned.name.strip("_") in EMPTY
        is_old = assigned.what in ("class", "function") and assigned.name.strip("_") in OLD
        if (is_empty or is_old) and (assigned.scope, assigned.name) not in reported:
            reported.add((assigned.scope, assigned.name))
            message = f"{assigned.what} `{assigned.name}`: name its content"
            yield Finding(module.path, assigned.line, NAMES, category, message)
