"""Names: the rule for file names, the hint about an unknown name, and counts of things."""

import difflib
import re
from collections.abc import Iterable, Sequence

from runner.config import ConfigError
from runner.wording.output import join_names, truncate_middle

SYNONYMS = {"gpu": ("cuda", "mps"), "nvidia": ("cuda",), "apple": ("mps",), "metal": ("mps",)}
NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_-])?")
"""The names that arms, figures, claims and tables may have: they become names of files."""
LONGEST_LIST = 200  # characters; an error lists only the first names of a longer list


def name_hint(name: str, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown name, the same for every kind of name.

    It is "did you mean a or b?" for the similar known names. Where none is similar it lists the
    known names: "there are: a, b, c", or the first five and the number of the rest.
    """
    known = sorted(map(str, set(known)))
    similar = similar_names(name, known)
    if similar:
        return did_you_mean(similar)
    if not known:
        return "there are none"
    all_names = ", ".join(known)
    listed = all_names if len(all_names) <= LONGEST_LIST else join_names(known)
    return f"there is only {listed}" if len(known) == 1 else f"there are: {listed}"


def did_you_mean(names: Sequence[str]) -> str:
    """Return the question "did you mean a or b?"."""
    return f"did you mean {' or '.join(truncate_middle(name, 80) for name in names)}?"


def similar_names(name: str, known: Sequence[str]) -> list[str]:
    """Return at most three known names that are spelled like a name, the most similar first."""
    synonyms = [word for word in SYNONYMS.get(name.lower(), ()) if word in known]
    same_letters = [word for word in known if word.casefold() == name.casefold()]
    return synonyms or same_letters or difflib.get_close_matches(name[:100], known, n=3, cutoff=0.6)


def format_count(number: int, one: str, more: str = "") -> str:
    """Return a number with its noun: 1 seed, 2 seeds."""
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def check_file_name(subject: str, name: str) -> None:
    """Raise ConfigError unless a name can be a file name; the message starts with `subject`."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{subject} {truncate_middle(name, 80)!r}: a name has at most 80 characters: letters "
            "(a to z), digits, dots, dashes and underscores. It does not start with a dot or dash, "
            "and does not end with a dot"
        )
