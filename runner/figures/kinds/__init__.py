"""The kinds of figures, one file each, and the function that reads a figure from YAML."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from runner.figures.figure import Figure
from runner.figures.kinds.bars import Bars
from runner.figures.kinds.curve import Curve
from runner.figures.kinds.heatmap import Heatmap
from runner.figures.kinds.lines import Lines
from runner.figures.kinds.matrix import Matrix
from runner.figures.kinds.points import Points
from runner.figures.kinds.profile import Profile
from runner.figures.kinds.samples import Samples
from runner.figures.kinds.scatter import Scatter
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle

KINDS: dict[str, type[Figure]] = {
    cls.kind: cls
    for cls in (Curve, Lines, Bars, Points, Heatmap, Scatter, Matrix, Profile, Samples)
}

FORMER_NAMES = {"radar": "profile"}
"""Kinds of earlier versions, whose runs can be drawn again."""

ALL_KEYS = {f.name for cls in KINDS.values() for f in fields(cls)}


def read_figure(name: str, mapping: Any) -> Figure:
    """Read a figure from its YAML mapping.

    A key with the value null counts as absent, even if only other kinds have it. So a preset can
    change the kind of a figure.

    Raises:
        ValueError: a key is unknown or missing, or a value is not allowed; it names the figure.
    """
    prefix = f"figures.{name}"
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{prefix}={truncate_middle(mapping, 80)} must be a mapping of keys")
    kind = mapping.get("kind")
    kind = FORMER_NAMES.get(kind, kind) if isinstance(kind, str) else kind
    known = ", ".join(KINDS)
    if kind is None:
        raise ValueError(f"{prefix}: missing key kind, one of {known}")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(
            f"{prefix}: kind={truncate_middle(kind, 80)}: there is no such kind; "
            f"{name_hint(str(kind), KINDS)}"
        )
    keys = {
        key: value
        for key, value in mapping.items()
        if key != "kind" and not (value is None and key in ALL_KEYS)
    }
    try:
        return KINDS[kind].from_mapping(keys)
    except ValueError as error:
        raise ValueError(f"{prefix} (kind: {kind}): {error}") from error
