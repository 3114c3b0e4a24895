"""How large a config becomes once `${key}` is replaced by the value of that key.

OmegaConf resolves an interpolation each time it meets it, so that fifteen short lines, each of
which names the one before twice, would take hours and fill the memory. No torch.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from runner.config import ConfigError

MOST = 1_000_000
"""Letters and values that a user's config may have once it is resolved."""

INNERMOST = re.compile(r"\$\{([^${}]*)\}")


def check_expansion(config: Mapping[str, Any]) -> None:
    """Raise ConfigError for an unresolved config that would be too large once it is resolved."""
    known: dict[tuple[str, ...], int] = {}
    opened: set[tuple[str, ...]] = set()

    def size(place: tuple[str, ...], value: Any) -> int:
        if place in opened:  # a circle, which OmegaConf itself finds
            return 1
        if place not in known:
            opened.add(place)
            if isinstance(value, Mapping):
                total = 1 + sum(size((*place, str(key)), item) for key, item in value.items())
            elif isinstance(value, Sequence) and not isinstance(value, str):
                total = 1 + sum(size((*place, str(at)), item) for at, item in enumerate(value))
            else:
                total = 1 + len(str(value)) + references(place, str(value))
            opened.remove(place)
            known[place] = total
        if known[place] > MOST:
            raise ConfigError(
                f"{'.'.join(place)} has more than {MOST:,} letters once each ${{key}} in it is "
                "replaced by its value; write what is needed"
            )
        return known[place]

    def references(place: tuple[str, ...], text: str) -> int:
        """The size of all that a text refers to; one whose key is put together counts as large."""
        if "${" not in text:
            return 0
        total = 0
        for key in INNERMOST.findall(text):
            target = absolute(place, key.strip())
            total += size(target, value) if (value := at(config, target)) is not None else 1
        nested = text.count("${") - len(INNERMOST.findall(text))
        return total + nested * MOST // 20

    size((), config)


def absolute(place: tuple[str, ...], key: str) -> tuple[str, ...]:
    """The place that a key means from another one; each leading dot is one level up."""
    bare = key.lstrip(".")
    up = len(key) - len(bare)
    parts = tuple(part for part in re.split(r"[.\[\]'\"]+", bare) if part)
    return (*place[: max(0, len(place) - up)], *parts) if up else parts


def at(config: Any, place: tuple[str, ...]) -> Any:
    """The value at a place; None where there is none."""
    for key in place:
        if isinstance(config, Mapping):
            config = config.get(key)
        elif isinstance(config, Sequence) and not isinstance(config, str) and key.isdecimal():
            config = config[int(key)] if int(key) < len(config) else None
        else:
            return None
    return config
