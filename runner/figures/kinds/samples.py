"""`kind: samples`: a table that trials keep, shown as one: sentences and what became of them."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from runner.figures.data import Records
from runner.figures.figure import Figure, TextTable
from runner.figures.rows import select_first_seed
from runner.wording import quantity

TRUTH = {"True": True, "False": False}  # as a CSV column that is not all truth values has them


@dataclass(frozen=True, kw_only=True)
class Samples(Figure):
    """The first rows of the first seed of each arm, as texts.

    table    name of a table that trials keep
    columns  those of its columns that are shown
    rows     how many rows of each arm
    """

    kind: ClassVar[str] = "samples"

    table: str
    columns: list[str]
    rows: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rows < 1:
            raise ValueError(f"rows={self.rows} must be at least 1")

    def draw(self, records: Records) -> TextTable:
        """Make the sheet. CannotDrawError where the table or a column is missing."""
        found = select_first_seed(records.table_rows(self.table, self.columns, self.arms))
        shown = found.groupby("arm", sort=False).head(self.rows)
        counts = {str(arm): len(rows) for arm, rows in found.groupby("arm", sort=False)}
        with_arm = "arm" not in self.columns and len(counts) > 1
        columns = [*(["arm"] if with_arm else []), *self.columns]
        rows = [[_cell(value) for value in row] for row in shown[columns].itertuples(index=False)]
        note = " ".join([_note(counts, self.rows), *_later_seeds(found, records)])
        return TextTable(columns, rows, note)


def _later_seeds(found: pd.DataFrame, records: Records) -> list[str]:
    """A sentence for each arm whose first seed kept no table."""
    lowest = found.groupby("arm", sort=False)["seed"].min()
    firsts = {arm: min(records.seeds.get(str(arm), {seed})) for arm, seed in lowest.items()}
    return [
        f"Of {arm} these are of seed {seed}: seed {firsts[arm]} kept none."
        for arm, seed in lowest.items()
        if seed != firsts[arm]
    ]


def _note(counts: dict[str, int], most: int) -> str:
    """How many of the recorded rows are shown."""
    of = (
        "the first seed of each arm"
        if len(counts) > 1
        else f"the first seed of {next(iter(counts))}"
    )
    sizes = set(counts.values())
    if max(sizes) <= most:
        return f"All rows of {of}."
    if len(sizes) == 1:
        return f"The first {most} of {sizes.pop()} rows of {of}."
    every = ", ".join(f"{arm} has {n}" for arm, n in counts.items())
    return f"At most {most} rows of {of}: {every}."


def _cell(value: Any) -> str | bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return quantity.format_number(float(value))
    return TRUTH.get(value, str(value)) if isinstance(value, str) else str(value)
