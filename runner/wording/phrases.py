"""Ranges of counts with their nouns, and lists of names, as parts of a sentence."""

from collections.abc import Sequence

from runner.wording.names import format_count


def count_range(counts: Sequence[int], noun: str) -> str:
    """Return the range of some counts with its noun: 8 seeds, 4 to 8 seeds, 1 seed."""
    low, high = min(counts), max(counts)
    text = format_count(high, noun)
    return text if low == high else f"{low} to {text}"


def join_with_and(parts: Sequence[str]) -> str:
    """Return a list as it is spoken: "a", "a and b", "a, b and c"; "" for no parts."""
    if not parts:
        return ""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def capitalise(text: str) -> str:
    """Return a text with a large first letter; a name of a metric, such as val/loss, stays."""
    is_name = "/" in text.split(",")[0].split(" ")[0]
    return text if is_name else text[:1].upper() + text[1:]
