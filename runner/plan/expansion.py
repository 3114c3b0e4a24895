"""A limit on the size of a config after each `${key}` is replaced by its value. No torch.

OmegaConf resolves an interpolation each time it occurs. Fifteen short lines that each name the
previous line twice would take hours and fill the memory.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from runner.config import ConfigError

MAX_SIZE = 1_000_000
"""The most characters and values that a user's config may have after it is resolved."""

INNERMOST = re.compile(r"\$\{([^${}]*)\}")


def check_expansion(config: Mapping[str, Any]) -> None:
    """Raise ConfigError for an unresolved config that would become too large when resolved."""
    sizes: dict[tuple[str, ...], int] = {}
    in_progress: set[tuple[str, ...]] = set()

    def measure(path: tuple[str, ...], value: Any) -> int:
        if path in in_progress:  # a circular reference, which OmegaConf reports
            return 1
        if path not in sizes:
            in_progress.add(path)
            if isinstance(value, Mapping):
                total = 1 + sum(measure((*path, str(key)), item) for key, item in value.items())
            elif isinstance(value, Sequence) and not isinstance(value, str):
                total = 1 + sum(
                    measure((*path, str(index)), item) for index, item in enumerate(value)
                )
            else:
                total = 1 + len(str(value)) + measure_references(path, str(value))
            in_progress.remove(path)
            sizes[path] = total
        if sizes[path] > MAX_SIZE:
            raise ConfigError(
                f"{'.'.join(path)} has more than {MAX_SIZE:,} characters after each ${{key}} in "
                "it is replaced by its value; use fewer references"
            )
        return sizes[path]

    def measure_references(path: tuple[str, ...], text: str) -> int:
        """Return the size of the values a text refers to; a nested reference counts as large."""
        if "${" not in text:
            return 0
        total = 0
        for key in INNERMOST.findall(text):
            target = resolve_path(path, key.strip())
            total += (
                measure(target, value) if (value := value_at(config, target)) is not None else 1
            )
        nested = text.count("${") - len(INNERMOST.findall(text))
        return total + nested * MAX_SIZE // 20

    measure((), config)


def resolve_path(path: tuple[str, ...], key: str) -> tuple[str, ...]:
    """Return the path of a key in a reference at `path`; each leading dot is one level up."""
    name = key.lstrip(".")
    n_levels = len(key) - len(name)
    parts = tuple(part for part in re.split(r"[.\[\]'\"]+", name) if part)
    return (*path[: max(0, len(path) - n_levels)], *parts) if n_levels else parts


def value_at(config: Any, path: tuple[str, ...]) -> Any:
    """Return the value at a path; None if there is none."""
    for key in path:
        if isinstance(config, Mapping):
            config = config.get(key)
        elif isinstance(config, Sequence) and not isinstance(config, str) and key.isdecimal():
            config = config[int(key)] if int(key) < len(config) else None
        else:
            return None
    return config
