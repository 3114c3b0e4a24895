"""The kinds of figures, a file each, and how one is read from YAML."""

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
from runner.figures.kinds.radar import Radar
from runner.figures.kinds.samples import Samples
from runner.figures.kinds.scatter import Scatter
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle

KINDS: dict[str, type[Figure]] = {
    cls.kind: cls for cls in (Curve, Lines, Bars, Points, Heatmap, Scatter, Matrix, Radar, Samples)
}

ALL_KEYS = {f.name for cls in KINDS.values() for f in fields(cls)}


def read_figure(name: str, mapping: Any) -> Figure:
    """Read a figure as written in YAML.

    A key that is null counts as absent, also one that only other kinds have: so a preset can change
    the kind of a figure.

    ValueError, naming the figure, for keys that are unknown or missing and for values that make no
    sense.
    """
    here = f"figures.{name}"
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{here}={truncate_middle(mapping, 80)} must be keys with values")
    kind = mapping.get("kind")
    known = ", ".join(KINDS)
    if kind is None:
        raise ValueError(f"{here}: it needs the key kind, one of {known}")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(
            f"{here}: kind={truncate_middle(kind, 80)}: there is no such kind; "
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
        raise ValueError(f"{here} (kind: {kind}): {error}") from error
