"""Errors about unknown names say which known ones are near."""

import difflib
import re
from collections.abc import Iterable

from runner.config import ConfigError
from runner.output import shortened


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


NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_-])?")


def check_name(what: str, name: str) -> None:
    """Raise ConfigError unless a name can be a file's."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"{what} {shortened(repr(name), 80)}: a name has at most 80 letters, digits and . _ -, "
            "and neither begins nor ends with a dot"
        )
