"""A table that trials keep, shown as a table: sentences and what became of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from runner.figures.data import CannotDrawError, Records, first_seed
from runner.figures.draw import in_words
from runner.figures.spec import FigureSpec
from runner.report import markdown
from runner.wording import quantity

TRUTH = {"True": True, "False": False}  # as a CSV column that is not all truth values has them


@dataclass(frozen=True)
class Sheet:
    """One `samples` figure: a bool in a cell is a tick or a cross, all else is text."""

    spec: FigureSpec
    head: list[str]
    rows: list[list[str | bool]]
    note: str

    def markdown(self) -> str:
        """For TensorBoard."""
        body = [
            [_mark(c) if isinstance(c, bool) else markdown.literal(c) for c in row]
            for row in self.rows
        ]
        head = [markdown.literal(name) for name in self.head]
        texts = [f"**{markdown.literal(self.spec.title)}**", markdown.literal(self.spec.caption)]
        return "\n\n".join(
            [*filter(None, texts), markdown.literal(self.note), markdown.table(head, body)]
        )


def sheets(specs: Mapping[str, FigureSpec], records: Records) -> tuple[dict[str, Sheet], list[str]]:
    """Every `samples` figure, and one warning line for each whose table is missing."""
    made, warnings = {}, []
    for key, spec in specs.items():
        if spec.kind != "samples":
            continue
        try:
            made[key] = sheet(spec, records)
        except CannotDrawError as missing:
            warnings.append(f"figure {key} was skipped: {missing}")
        except Exception as error:
            warnings.append(f"figure {key} could not be shown: {in_words(error)}")
    return made, warnings


def sheet(spec: FigureSpec, records: Records) -> Sheet:
    """The first rows of the first seed of each arm. CannotDrawError where a column is missing."""
    found = first_seed(records.table(spec, spec.columns))
    shown = found.groupby("arm", sort=False).head(spec.rows)
    counts = {str(arm): len(rows) for arm, rows in found.groupby("arm", sort=False)}
    with_arm = "arm" not in spec.columns and len(counts) > 1
    columns = [*(["arm"] if with_arm else []), *spec.columns]
    rows = [[_cell(value) for value in row] for row in shown[columns].itertuples(index=False)]
    note = " ".join([_note(counts, spec.rows), *_later_seeds(found, records)])
    return Sheet(spec, columns, rows, note)


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
        return quantity.number(float(value))
    return TRUTH.get(value, str(value)) if isinstance(value, str) else str(value)


def _mark(truth: bool) -> str:
    return "\N{CHECK MARK} yes" if truth else "\N{BALLOT X} no"
