"""Names: which are allowed, which known ones are near to an unknown one; how many of them."""

import difflib
import re
from collections.abc import Iterable

from runner.config import ConfigError
from runner.wording.output import truncate_middle

OTHER_WORDS = {"gpu": ("cuda", "mps"), "nvidia": ("cuda",), "apple": ("mps",), "metal": ("mps",)}
NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_-])?")
"""What arms, figures, claims and tables may be called: they become names of files."""


def name_hint(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest known ones, or all of them if few."""
    known = sorted(map(str, set(known)))
    close = [word for word in OTHER_WORDS.get(name.lower(), ()) if word in known]
    close = close or difflib.get_close_matches(name[:100], known, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(truncate_middle(word, 80) for word in close)}?"
    if not known:
        return "there are none"
    whole = f"there are {', '.join(known)}"
    return whole if len(whole) <= 200 else "see conf/ for the names"


def short_name_hint(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name."""
    close = difflib.get_close_matches(word, list(known))
    return f" (near: {', '.join(close)})" if close else ""


def format_count(number: int, one: str, more: str = "") -> str:
    """A number of things: 1 seed, 2 seeds."""
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def check_file_name(what: str, name: str) -> None:
    """Raise ConfigError unless a name can be that of a file; `what` says whose name it is."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{what} {truncate_middle(name, 80)!r}: a name has at most 80 letters (a to z), digits, "
            "dots, dashes and underscores; it starts with none of dots and dashes, and does not "
            "end in a dot"
        )
