"""Figures as data: what an experiment's YAML says under `figures:`, checked when a run is planned.

A metric may be a template (see `templates`); `x`, `y`, `panel` and `hue` may name its placeholders.
With `table` the rows come from a table that trials keep, and the same keys name its columns.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from runner.figures.rules import KINDS, Kind
from runner.metric_names import placeholders

LISTS = ("panel", "arms", "columns")
MAPPINGS = ("axes", "panel_metrics")


@dataclass(frozen=True)
class FigureSpec:
    """One figure. Wrong combinations raise ValueError here, which is when a run is planned.

    kind     a name in `kinds.KINDS`, which says which keys it needs and which it uses
    metric   name or template of what is drawn (on y; the colour of a heat map); with a table, the
             column that holds the values
    table    name of a table that trials keep; its columns take the place of placeholders
    x        a placeholder or column; heat map: also `step`; scatter: the name of the metric on x
    y        heat map and matrix: a placeholder or column
    panel    one or two columns (`arm`, a placeholder or column): panels side by side, then rows
    hue      the column that gets a colour each
    log      none, x, y or both; for a heat map or matrix `y` makes the colour scale logarithmic
    seeds    mean: over all; first: only the first seed of each arm, where seeds share no identity
    arms     only these arms, in this order; empty: all
    x_ticks, y_ticks  matrix: columns with the text of each tick
    panel_metrics     matrix: short name -> metric template, its value stands in the panel's title
    axes     radar: label -> metric template with values in 0..1
    columns  samples: the columns that are shown, and `rows` says how many rows of each arm
    """

    kind: str
    title: str
    metric: str = ""
    caption: str = ""
    table: str | None = None
    x: str | None = None
    y: str | None = None
    panel: list[str] = field(default_factory=list)
    hue: str | None = None
    x_label: str | None = None
    y_label: str | None = None
    colour_label: str | None = None
    log: str = "none"
    reference: float | None = None
    reference_label: str = ""
    seeds: str = "mean"
    arms: list[str] = field(default_factory=list)
    x_ticks: str | None = None
    y_ticks: str | None = None
    panel_metrics: dict[str, str] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    rows: int = 20

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise self._wrong(f"kind={self.kind!r} is none of {sorted(KINDS)}")
        self._check_types()
        self._check_keys()
        if len(self.panel) > 2:
            raise self._wrong(f"panel={self.panel} has more than two columns")
        if self.shape.single and len(self.arms) > 1 and "arm" not in self.by:
            where = "panel: [arm] or hue: arm" if "hue" in self.shape.uses else "panel: [arm]"
            raise self._wrong(f"arms={self.arms} needs {where}; else name one arm")
        if self.axes and len(self.axes) < 3:
            raise self._wrong(f"a radar needs three axes or more; this one has {list(self.axes)}")
        if not self.table:
            for template in self.axes.values() or [self.metric]:
                self._check_columns(template)
        for template in self.panel_metrics.values():
            self._check_title(template)

    @property
    def shape(self) -> Kind:
        """What figures of this kind have in common."""
        return KINDS[self.kind]

    @property
    def colours(self) -> str:
        """The column that gets a colour each."""
        return self.hue or "arm"

    @property
    def of_one_seed(self) -> bool:
        """Whether the figure shows one seed of each arm, and no mean."""
        return self.shape.single or self.seeds == "first"

    @property
    def by(self) -> list[str]:
        """The columns that tell values apart: rows that agree in all of them are repetitions."""
        hue = self.hue or self.shape.hue
        x = self.x or self.shape.x
        return list(dict.fromkeys(column for column in (*self.panel, x, self.y, hue) if column))

    def _wrong(self, what: str) -> ValueError:
        return ValueError(f"figure {self.title!r}: {what}")

    def _check_types(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in LISTS and not _all_text(value, list):
                raise self._wrong(f"{f.name}={value!r} must be a list of names, e.g. [a, b]")
            if f.name in MAPPINGS and not _all_text(value, dict):
                raise self._wrong(f"{f.name}={value!r} must map short names to metrics")
            if f.type in (str, str | None) and not isinstance(value, str | None):
                raise self._wrong(f"{f.name}={value!r} must be text; quote it")
        if isinstance(self.reference, bool) or not isinstance(self.reference, float | int | None):
            raise self._wrong(f"reference={self.reference!r} must be a number")
        if isinstance(self.rows, bool) or not isinstance(self.rows, int) or self.rows < 1:
            raise self._wrong(f"rows={self.rows!r} must be a whole number of at least 1")
        if self.seeds not in ("mean", "first"):
            raise self._wrong(f"seeds={self.seeds!r} must be mean or first")
        if self.log not in self.shape.log:
            raise self._wrong(f"kind={self.kind}: log={self.log!r} must be one of {self.shape.log}")

    def _check_keys(self) -> None:
        """No key that a kind needs is missing, and none is given that it would ignore."""
        for name in self.shape.needs:
            if not getattr(self, name):
                raise self._wrong(f"kind={self.kind} needs the key {name}")
        known = {"kind", "title", "caption", "arms", *self.shape.needs, *self.shape.uses}
        ignored = [f.name for f in fields(self) if f.name not in known and self._is_given(f)]
        if ignored:
            raise self._wrong(f"kind={self.kind} does not use {ignored}; it uses {sorted(known)}")

    def _is_given(self, f: Any) -> bool:
        default = f.default if f.default_factory is MISSING else f.default_factory()
        return bool(getattr(self, f.name) != default)

    def _check_columns(self, template: str) -> None:
        found, always = set(placeholders(template)), {"arm", *self.shape.steps}
        used = set(self.by)
        if self.shape.x_is_metric:
            used.discard(self.x or "")
            found |= set(placeholders(self.x or ""))
        unknown = used - found - always
        if unknown:
            raise self._wrong(
                f"{sorted(unknown)} are not placeholders of {template!r}; it has {sorted(found)}, "
                f"and for kind={self.kind} {sorted(always)} always exist"
            )
        unused = found - used
        if unused:
            raise self._wrong(
                f"placeholders {sorted(unused)} of {template!r} would be averaged away unseen; "
                "name each in x, y, panel or hue"
            )

    def _check_title(self, template: str) -> None:
        unknown = set(placeholders(template)) - set(self.panel)
        if unknown:
            raise self._wrong(f"{template!r} in panel_metrics: {sorted(unknown)} are not in panel")


def figure_spec(options: Mapping[str, Any]) -> FigureSpec:
    """Build a spec from YAML; `panel: arm` means `panel: [arm]`. ValueError for unknown keys."""
    known = {f.name for f in fields(FigureSpec)}
    unknown = set(options) - known
    if unknown:
        raise ValueError(f"unknown figure keys {sorted(unknown)}; a figure has {sorted(known)}")
    missing = {"kind", "title"} - set(options)
    if missing:
        raise ValueError(f"a figure needs {sorted(missing)}; this one has only {sorted(options)}")
    values = {name: value for name, value in options.items() if value is not None}
    if isinstance(values.get("panel"), str):
        values["panel"] = [values["panel"]]
    for name in set(LISTS) & set(values):
        if not isinstance(values[name], str):
            values[name] = [str(item) for item in values[name]]
    for name in set(MAPPINGS) & set(values):
        if isinstance(values[name], Mapping):
            values[name] = {str(key): item for key, item in values[name].items()}
    return FigureSpec(**values)


def _all_text(value: Any, kind: type) -> bool:
    items = value.values() if isinstance(value, dict) else value
    return isinstance(value, kind) and all(isinstance(item, str) for item in items)
