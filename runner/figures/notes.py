"""What a figure says of the seeds behind it: which they are, what is missing, what is clipped."""

from collections.abc import Mapping

import pandas as pd

from runner.figures.data import Records
from runner.figures.figure import PanelFigure
from runner.figures.seeds import format_missing_seeds, missing_seeds

HOLLOW_NOTE = "hollow: a diverged trial, shown at where it started or at a declared worst value"


def seed_notes(figure: PanelFigure, records: Records, rows: pd.DataFrame) -> list[str]:
    """What a figure must say of the seeds behind it: which they are, and what is missing."""
    if figure.shows_one_seed:
        return [*_which_seed(records, rows), *_clipped_notes(figure, records, rows)]
    missing = missing_seeds(rows, figure.group_columns, records.seeds)
    told = {arm: _shortfall(figure, records, arm, lacking) for arm, lacking in missing.items()}
    lines = [f"{arm}: {text}" for arm, text in told.items() if text]
    if any(missing.values()):
        lines.append("no mean where a finished trial has no value")
    return [*lines, *_clipped_notes(figure, records, rows, missing)]


def _shortfall(figure: PanelFigure, records: Records, arm: str, missing: frozenset[int]) -> str:
    """Which of an arm's seeds a figure lacks; of a curve, too, which ended early or went on."""
    counted = records.seeds.get(arm, frozenset())
    diverged = records.diverged_seeds.get(arm, frozenset())
    planned = records.planned_seeds.get(arm, frozenset()) | counted
    named = diverged if "step" in figure.group_columns else diverged & missing
    return format_missing_seeds(planned, counted, missing, named)


def _which_seed(records: Records, rows: pd.DataFrame) -> list[str]:
    """Which seed is shown; where it is not the arm's first, or has diverged, that is said."""
    seeds = rows.groupby("arm", sort=False, observed=True)["seed"].min()
    lines = [] if len(seeds) == 1 else ["first seed of each arm"]
    for arm, seed in seeds.items():
        first = min(records.seeds.get(str(arm), ()), default=seed)
        if seed != first:
            lines.append(f"seed {seed} of {arm}, as seed {first} has no values")
        elif len(seeds) == 1:
            lines.append(f"first seed of {arm}")
        if seed in records.diverged_seeds.get(str(arm), ()):
            lines.append(f"seed {seed} of {arm} diverged")
    return lines


def _clipped_notes(
    figure: PanelFigure,
    records: Records,
    rows: pd.DataFrame,
    missing: Mapping[str, frozenset[int]] | None = None,
) -> list[str]:
    if not rows["clipped"].any():
        return []
    lines = []
    for arm, numbers in rows[rows["clipped"]].groupby("arm", sort=False)["seed"]:
        n, n_clipped = len(records.seeds.get(str(arm), ())), numbers.nunique()
        if missing is None or n < 2:
            continue
        if missing.get(str(arm)):
            lines.append(f"{arm}: {n_clipped} of {n} seeds clipped")
        else:
            lines.append(f"{arm}: mean over {n} seeds, {n_clipped} of them clipped")
    return [
        *lines,
        HOLLOW_NOTE if figure.has_dots else f"clipped{HOLLOW_NOTE.removeprefix('hollow')}",
    ]
