"""Checks of a claim's keys and values in YAML; each message names the value and the rule."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from runner.wording.names import name_hint


def read_claim_keys(cls: type, prefix: str, mapping: Any, reserved: str = "") -> dict[str, Any]:
    """Check a mapping's keys against a dataclass's fields; return its values, lists as tuples.

    `prefix` begins each message. `reserved` is a field that the mapping may not set.

    Raises:
        ValueError: a key is unknown or missing, or `mapping` is not a mapping.
    """
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{prefix} must be a mapping of keys, got {mapping!r}.")
    known = {field.name: field for field in fields(cls) if field.name != reserved}
    for key in mapping:
        if key not in known:
            raise ValueError(f"{prefix}: there is no key {key!r}; {name_hint(str(key), known)}")
    missing = [
        name
        for name, field in known.items()
        if field.default is MISSING and mapping.get(name) is None
    ]
    if missing:
        raise ValueError(f"{prefix}: missing key {', '.join(missing)}.")
    return {
        str(key): tuple(value) if isinstance(value, list) else value
        for key, value in mapping.items()
        if value is not None
    }


def check_one_of(key: str, value: str, known: Sequence[str]) -> None:
    """Raise ValueError if a value is not among the known ones; `key` begins the message."""
    if value not in known:
        raise ValueError(f"{key}={value!r} is unknown; {name_hint(str(value), known)}")


def is_yaml_number(value: object, kind: type | tuple[type, ...] = (int, float)) -> bool:
    """Return whether a value from YAML is a number; true and false are not."""
    return isinstance(value, kind) and not isinstance(value, bool)


def read_band(prefix: str, band: object) -> tuple[float, float]:
    """Return a band as (lower, upper).

    Raises:
        ValueError: `band` is not two numbers with the lower one first.
    """
    if (
        not (isinstance(band, tuple) and len(band) == 2 and all(map(is_yaml_number, band)))
        or not band[0] < band[1]
    ):
        raise ValueError(
            f"{prefix}: band={band!r} must be two numbers, the lower one first, e.g. [-0.6, -0.4]."
        )
    return float(band[0]), float(band[1])
