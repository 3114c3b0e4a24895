"""`kind: samples`: the rows of a table that trials record, e.g. sentences and predictions."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from runner.figures.data import Records
from runner.figures.figure import Figure, TextTable
from runner.figures.rows import select_first_seed
from runner.wording import quantity

TRUTH = {"True": True, "False": False}  # as in a CSV column with other values, too


@dataclass(frozen=True, kw_only=True)
class Samples(Figure):
    """The first rows of the first seed of each arm, as texts.

    table    name of a table that trials record
    columns  the columns to show
    rows     largest number of rows per arm
    """

    kind: ClassVar[str] = "samples"
    is_picture: ClassVar[bool] = False

    table: str
    columns: list[str]
    rows: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rows < 1:
            raise ValueError(f"rows={self.rows} must be at least 1")

    def draw(self, records: Records) -> TextTable:
        """Make the table; see `runner.figures.figure.Figure.draw`."""
        recorded = select_first_seed(records.table_rows(self.table, self.columns, self.arms))
        selected = recorded.groupby("arm", sort=False).head(self.rows)
        counts = {str(arm): len(rows) for arm, rows in recorded.groupby("arm", sort=False)}
        with_arm = "arm" not in self.columns and len(counts) > 1
        columns = [*(["arm"] if with_arm else []), *self.columns]
        rows = [
            [_cell(value) for value in row] for row in selected[columns].itertuples(index=False)
        ]
        note = " ".join([_note(counts, self.rows), *_later_seed_notes(recorded, records)])
        return TextTable(columns, rows, note)


def _later_seed_notes(recorded: pd.DataFrame, records: Records) -> list[str]:
    """Return a sentence for each arm whose first seed recorded no table."""
    lowest = recorded.groupby("arm", sort=False)["seed"].min()
    firsts = {arm: min(records.seeds.get(str(arm), {seed})) for arm, seed in lowest.items()}
    return [
        f"The rows of {arm} are of seed {seed}, as seed {firsts[arm]} recorded none."
        for arm, seed in lowest.items()
        if seed != firsts[arm]
    ]


def _note(counts: dict[str, int], most: int) -> str:
    """Return a sentence on the number of rows shown, of the recorded ones."""
    source = (
        "the first seed of each arm"
        if len(counts) > 1
        else f"the first seed of {next(iter(counts))}"
    )
    sizes = set(counts.values())
    if max(sizes) <= most:
        return f"All rows of {source}."
    if len(sizes) == 1:
        return f"The first {most} of {sizes.pop()} rows of {source}."
    counts_text = ", ".join(f"{arm} has {n}" for arm, n in counts.items())
    return f"At most {most} rows of {source}: {counts_text}."


def _cell(value: Any) -> str | bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return quantity.format_number(float(value))
    return TRUTH.get(value, str(value)) if isinstance(value, str) else str(value)
