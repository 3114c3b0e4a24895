"""Errors about unknown names say which known ones are near."""

import difflib
from collections.abc import Iterable


def near(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest known ones, or all of them if few."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there are {', '.join(known)}" if len(known) <= 24 else "see conf/ for the names"


def nearby(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name."""
    close = difflib.get_close_matches(word, list(known))
    return f" (near: {', '.join(close)})" if close else ""
