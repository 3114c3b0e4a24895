"""Figures as data: what an experiment's YAML says under `figures:`, and the rows each one draws.

A metric may be a template: `moe/load/layer{layer}/expert{expert}` matches
`moe/load/layer0/expert3`, and its placeholders become the columns `layer` and `expert`, which `x`,
`y`, `panel` and `hue` may name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd

LOG_AXES = ("none", "x", "y", "both")
NEEDS = {"heatmap": ("x", "y"), "scatter": ("x",)}


@dataclass(frozen=True)
class FigureSpec:
    """One figure. Wrong combinations raise ValueError here, which is when a run is planned.

    kind    a name in `plots.KINDS`
    metric  name or template of what is drawn (on y; the colour of a heat map)
    x       `step` or a placeholder; for a scatter, the name of the metric on x
    y       heat map only: a placeholder
    panel   one or two columns (`arm` or a placeholder): panels side by side, then rows
    hue     the column that gets a colour each
    log     none, x, y or both; for a heat map `y` makes the colour scale logarithmic
    arms    only these arms, in this order; empty: all
    """

    kind: str
    metric: str
    title: str
    caption: str = ""
    x: str | None = None
    y: str | None = None
    panel: list[str] = field(default_factory=list)
    hue: str | None = None
    x_label: str | None = None
    y_label: str | None = None
    log: str = "none"
    reference: float | None = None
    reference_label: str = ""
    arms: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.log not in LOG_AXES:
            raise ValueError(f"figure {self.title!r}: log={self.log!r} must be one of {LOG_AXES}")
        for name in NEEDS.get(self.kind, ()):
            if getattr(self, name) is None:
                raise ValueError(f"figure {self.title!r}: kind={self.kind} needs the key {name}")
        if isinstance(self.panel, str) or isinstance(self.arms, str):
            raise ValueError(f"figure {self.title!r}: panel and arms are lists, e.g. panel: [arm]")
        if len(self.panel) > 2:
            raise ValueError(f"figure {self.title!r}: panel={self.panel} has more than two columns")
        self._check_columns()

    def _check_columns(self) -> None:
        found = set(placeholders(self.metric))
        used = {*self.panel, *filter(None, (self.hue, self.y))}
        if self.kind != "scatter" and self.x:
            used.add(self.x)
        if self.kind == "scatter":
            found |= set(placeholders(self.x or ""))
        unknown = used - found - {"arm", "step"}
        if unknown:
            raise ValueError(
                f"figure {self.title!r}: {sorted(unknown)} are not placeholders of "
                f"{self.metric!r}; it has {sorted(found)}, and `arm` and `step` always exist"
            )
        unused = found - used
        if unused:
            raise ValueError(
                f"figure {self.title!r}: placeholders {sorted(unused)} of {self.metric!r} would be "
                "averaged away unseen; name each in x, y, panel or hue"
            )


def figure_spec(options: Mapping[str, Any]) -> FigureSpec:
    """Build a spec from YAML; `panel: arm` means `panel: [arm]`. ValueError for unknown keys."""
    known = {f.name for f in fields(FigureSpec)}
    unknown = set(options) - known
    if unknown:
        raise ValueError(f"unknown figure keys {sorted(unknown)}; a figure has {sorted(known)}")
    missing = {"kind", "metric", "title"} - set(options)
    if missing:
        raise ValueError(f"a figure needs {sorted(missing)}; this one has only {sorted(options)}")
    values = dict(options)
    if isinstance(values.get("panel"), str):
        values["panel"] = [values["panel"]]
    values = {k: v for k, v in values.items() if v is not None or k in ("x", "y", "hue")}
    for name in ("panel", "arms"):
        values[name] = [str(item) for item in values.get(name, [])]
    return FigureSpec(**values)


def placeholders(template: str) -> list[str]:
    """The names in braces, in order."""
    return re.findall(r"\{(\w+)\}", template)


def select(rows: pd.DataFrame, template: str, arms: list[str]) -> pd.DataFrame:
    """Rows whose metric matches, for the given arms in their order, with a column per placeholder.

    A column whose values are all whole numbers is made integer, so that `expert10` comes after
    `expert9`.
    """
    pattern = _pattern(template)
    matches = {name: pattern.fullmatch(name) for name in rows["metric"].unique()}
    found = {name: m.groupdict() for name, m in matches.items() if m}
    chosen = rows[rows["metric"].isin(found) & rows["arm"].isin(arms)].copy()
    for column in placeholders(template):
        values = chosen["metric"].map({name: groups[column] for name, groups in found.items()})
        whole = len(values) > 0 and values.str.fullmatch(r"\d+").all()
        chosen[column] = values.astype(int) if whole else values
    order = {arm: i for i, arm in enumerate(arms)}
    return chosen.sort_values("arm", key=lambda column: column.map(order), kind="stable")


def levels(rows: pd.DataFrame, column: str) -> list[Any]:
    """The distinct values of a column: numbers ascending, words in the order of appearance."""
    values = list(rows[column].unique())
    return sorted(values) if pd.api.types.is_numeric_dtype(rows[column]) else values


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    quoted = [re.escape(p) if i % 2 == 0 else f"(?P<{p}>[^/]+)" for i, p in enumerate(parts)]
    return re.compile("".join(quoted))
