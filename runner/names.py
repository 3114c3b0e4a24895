"""Errors about unknown names say which known ones are near."""

import difflib
from collections.abc import Iterable

from runner.output import shortened

OTHER_WORDS = {"gpu": ("cuda", "mps"), "nvidia": ("cuda",), "apple": ("mps",), "metal": ("mps",)}


def near(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest known ones, or all of them if few."""
    known = sorted(map(str, set(known)))
    close = [word for word in OTHER_WORDS.get(name.lower(), ()) if word in known]
    close = close or difflib.get_close_matches(name[:100], known, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(shortened(word, 80) for word in close)}?"
    if not known:
        return "there are none"
    whole = f"there are {', '.join(known)}"
    return whole if len(whole) <= 200 else "see conf/ for the names"


def nearby(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name."""
    close = difflib.get_close_matches(word, list(known))
    return f" (near: {', '.join(close)})" if close else ""
