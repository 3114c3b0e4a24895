"""Claims: statements that are written down before a run, in an experiment's YAML."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from typing import Any, Self

KINDS = ("difference",)
DIRECTIONS = ("greater", "less")


@dataclass(frozen=True)
class Null:
    """The A/A pair of a claim: the same arm twice, whose difference must be nothing but chance."""

    arm: str
    control: str


@dataclass(frozen=True)
class PositiveControl:
    """A difference known to exist: where it is not seen, the rig could not see the claim either."""

    metric: str
    arm: str
    control: str
    direction: str


@dataclass(frozen=True)
class Claim:
    """A pre-registered statement: on `metric`, `arm` is greater or less than `control`.

    Claims of one `family` are Holm-corrected together. `source` and `published` say where the
    finding comes from and which figure was printed there; they decide nothing.
    """

    id: str
    statement: str
    metric: str
    arm: str
    control: str
    direction: str
    n: int
    family: str
    source: str
    kind: str = "difference"
    alpha: float = 0.05
    published: str = ""
    null: Null | None = None
    positive_control: PositiveControl | None = None

    def __post_init__(self) -> None:
        here = f"Claim {self.id!r}"
        _one_of(f"{here}: kind", self.kind, KINDS)
        _one_of(f"{here}: direction", self.direction, DIRECTIONS)
        if not _is_number(self.n, int) or self.n < 2:
            raise ValueError(f"{here}: n={self.n!r} seeds; needed is a whole number from 2 up.")
        if not _is_number(self.alpha, (int, float)) or not 0 < self.alpha < 1:
            raise ValueError(f"{here}: alpha={self.alpha!r} must lie between 0 and 1.")
        for part in (self, self.null, self.positive_control):
            if part is not None and part.arm == part.control:
                raise ValueError(f"{here}: {part.arm!r} cannot be compared with itself.")
        if self.positive_control:
            where = f"{here}: positive_control.direction"
            _one_of(where, self.positive_control.direction, DIRECTIONS)

    @classmethod
    def from_mapping(cls, id: str, mapping: Mapping[str, Any]) -> Self:
        """The claim as written in YAML. ValueError for keys that are unknown or missing."""
        here = f"Claim {id!r}"
        given = _keywords(cls, here, mapping, reserved="id")
        parts: tuple[tuple[str, type], ...] = (
            ("null", Null),
            ("positive_control", PositiveControl),
        )
        for name, part in parts:
            if given.get(name) is not None:
                given[name] = part(**_keywords(part, f"{here}, {name}", given[name]))
        return cls(id=id, **given)


def _keywords(
    cls: type, here: str, mapping: Mapping[str, Any], reserved: str = ""
) -> dict[str, Any]:
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{here} must be a mapping of keys, got {mapping!r}.")
    known = {field.name: field for field in fields(cls) if field.name != reserved}
    for key in mapping:
        if key not in known:
            near = nearby(str(key), known)
            raise ValueError(f"{here}: unknown key {key!r}{near}. Keys: {', '.join(known)}.")
    missing = [
        name
        for name, field in known.items()
        if field.default is MISSING and mapping.get(name) is None
    ]
    if missing:
        raise ValueError(f"{here}: missing key {', '.join(missing)}.")
    return {str(key): value for key, value in mapping.items() if value is not None}


def _one_of(here: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        near = nearby(str(value), known)
        raise ValueError(f"{here}={value!r} is unknown{near}. Known: {', '.join(known)}.")


def _is_number(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def nearby(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name."""
    close = get_close_matches(word, list(known))
    return f" (near: {', '.join(close)})" if close else ""
