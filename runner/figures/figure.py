"""Figures as data: the `figures:` of an experiment's YAML, checked when a run is planned.

This module has the parts that all kinds share; `runner.figures.kinds` has a file for each kind. A
metric may be a template (see `runner.metric_names`), whose placeholders are columns. With `table`,
the rows come from a table that trials record, and the same keys name its columns.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import pandas as pd

from runner.figures.data import Records
from runner.figures.keys import check_types, read_figure_keys
from runner.metric_names import placeholders

if TYPE_CHECKING:
    from runner.figures.sheet import Sheet


DIFFERENCES = "differences"
"""The name of the figure that every report makes itself; no figure of a YAML file has it."""


@dataclass(frozen=True)
class TextTable:
    """A table of texts, drawn by figures without a picture; a bool is a tick or a cross."""

    head: list[str]
    rows: list[list[str | bool]]
    note: str


@dataclass(frozen=True, kw_only=True)
class Figure(ABC):
    """One figure of a report; its fields are the keys of its kind in YAML.

    A wrong value or combination raises ValueError when a run is planned.

    arms  the arms to draw, in this order; empty: all arms
    """

    kind: ClassVar[str]
    is_picture: ClassVar[bool] = True  # False: `draw` returns a table of texts

    title: str
    caption: str = ""
    arms: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_types(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Read a figure of this kind.

        Raises:
            ValueError: a key is unknown or missing.
        """
        return cls(**read_figure_keys(cls, mapping))

    @property
    def metrics(self) -> list[str]:
        """The metrics or templates that the figure draws; empty if it draws a table."""
        return []

    @abstractmethod
    def draw(self, records: Records) -> "Sheet | TextTable":
        """Draw the figure, inside `canvas.style()`.

        Raises:
            CannotDrawError: the records lack a metric, table, column or value.
        """


@dataclass(frozen=True, kw_only=True)
class PanelFigure(Figure):
    """A picture of panels, each with the rows of one level of one or two columns.

    panel  one or two columns (`arm`, a placeholder or a table's column). Levels of the first are
           side by side, levels of the second below each other
    """

    has_dots: ClassVar[bool] = False  # whether values of single seeds are drawn as dots
    allows_step_axis: ClassVar[bool] = (
        False  # whether an axis may be `step`; rows then come from the history
    )
    shows_one_trial: ClassVar[bool] = (
        False  # whether only the first seed is drawn, of one arm unless `group_columns` has arm
    )

    panel: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.panel) > 2:
            raise ValueError(f"panel={self.panel} has more than two columns")

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Read a figure as `Figure.from_mapping` does; `panel: arm` means `panel: [arm]`."""
        panel = mapping.get("panel")
        return super().from_mapping(
            {**mapping, "panel": [panel]} if isinstance(panel, str) else mapping
        )

    @property
    @abstractmethod
    def group_columns(self) -> list[str]:
        """The columns that distinguish values: rows that agree in all of them are repetitions."""

    @property
    def shows_one_seed(self) -> bool:
        """Whether the figure shows one seed of each arm instead of a mean."""
        return self.shows_one_trial

    @property
    def ranks_parts(self) -> bool:
        """Whether parts without a shared identity are ranked within each seed."""
        return False

    @abstractmethod
    def draw(self, records: Records) -> "Sheet":
        """Draw the figure as `Figure.draw` does."""

    def check_columns(self, *templates: str) -> None:
        """Raise ValueError unless the columns are exactly the placeholders of these templates."""
        named = " and ".join(map(repr, templates))
        existing = {name for template in templates for name in placeholders(template)}
        always = {"arm", "step"} if self.allows_step_axis else {"arm"}
        if unknown := set(self.group_columns) - existing - always:
            raise ValueError(
                f"{sorted(unknown)} are not placeholders of {named}; it has {sorted(existing)}, "
                f"and {sorted(always)} always exist"
            )
        if unused := existing - set(self.group_columns):
            raise ValueError(
                f"placeholders {sorted(unused)} of {named} would be averaged over; name each in x, "
                "y, panel or hue"
            )

    def check_arms(self, hint: str) -> None:
        """Raise ValueError for several arms in a figure of one trial without a column for arms."""
        if len(self.arms) > 1 and "arm" not in self.group_columns:
            raise ValueError(f"arms={self.arms} needs {hint}; otherwise name one arm")


@dataclass(frozen=True, kw_only=True)
class MetricFigure(PanelFigure):
    """A picture of one metric, on axes with labels.

    metric  name or template of the metric (on y; the colour of cells); with a table, the column
            that holds the values
    log     the logarithmic axes
    """

    metric: str
    x_label: str | None = None
    y_label: str | None = None
    log: Literal["none", "x", "y", "both"] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.source_table:
            self.check_columns(*self.metrics)

    @property
    def source_table(self) -> str | None:
        """The table that holds the values; None if metrics do."""
        return None

    @property
    def tick_columns(self) -> list[str]:
        """The columns of the table with the texts of the ticks."""
        return []

    @property
    def metrics(self) -> list[str]:
        """The metrics or templates that the figure draws; empty if it draws a table."""
        return [] if self.source_table else [self.metric]

    def value_label(self, records: Records, rows: pd.DataFrame) -> str:
        """Return a default label of the values: the metric with its unit, or the table's column."""
        return self.metric if self.source_table else records.label(self.metric, rows)


def unique_names(*names: str | None) -> list[str]:
    """Return the names that are neither None nor empty, each once and in order."""
    return list(dict.fromkeys(name for name in names if name))
