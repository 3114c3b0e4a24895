"""Checks of what a claim says in YAML; every message says what was given and what is allowed."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from runner.wording.names import name_hint


def read_claim_keys(cls: type, here: str, mapping: Any, reserved: str = "") -> dict[str, Any]:
    """The keys of a mapping, checked against the fields of a dataclass; lists become tuples."""
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{here} must be a mapping of keys, got {mapping!r}.")
    known = {field.name: field for field in fields(cls) if field.name != reserved}
    for key in mapping:
        if key not in known:
            raise ValueError(f"{here}: there is no key {key!r}; {name_hint(str(key), known)}")
    missing = [
        name
        for name, field in known.items()
        if field.default is MISSING and mapping.get(name) is None
    ]
    if missing:
        raise ValueError(f"{here}: missing key {', '.join(missing)}.")
    return {
        str(key): tuple(value) if isinstance(value, list) else value
        for key, value in mapping.items()
        if value is not None
    }


def check_one_of(here: str, value: str, known: Sequence[str]) -> None:
    """ValueError for a word that is not among the known ones."""
    if value not in known:
        raise ValueError(f"{here}={value!r} is unknown; {name_hint(str(value), known)}")


def is_yaml_number(value: object, kind: type | tuple[type, ...] = (int, float)) -> bool:
    """Whether a value of a YAML file is a number; true and false are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def read_band(here: str, band: object) -> tuple[float, float]:
    """Two numbers, the lower one first; else ValueError."""
    if (
        not (isinstance(band, tuple) and len(band) == 2 and all(map(is_yaml_number, band)))
        or not band[0] < band[1]
    ):
        raise ValueError(f"{here}: band={band!r} must be two numbers, e.g. [-0.6, -0.4].")
    return float(band[0]), float(band[1])
