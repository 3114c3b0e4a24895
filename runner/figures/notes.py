"""Notes below a figure on its seeds: the seeds shown, missing seeds and clipped values."""

from collections.abc import Mapping

import pandas as pd

from runner.figures.data import Records
from runner.figures.figure import PanelFigure
from runner.figures.seeds import format_missing_seeds, missing_seeds
from runner.metric_names import has_exchangeable_part

HOLLOW_NOTE = (
    "hollow: a diverged trial, shown at its value before training or at a declared worst value"
)


def seed_notes(figure: PanelFigure, records: Records, rows: pd.DataFrame) -> list[str]:
    """Return the notes of a figure on its seeds, one per fact; empty if every seed has a value."""
    if figure.shows_one_seed:
        return [*_shown_seed_notes(records, rows), *_clipped_notes(figure, records, rows)]
    identity = _identity_notes(figure, records, rows)
    missing = missing_seeds(rows, figure.group_columns, records.seeds)
    texts = {arm: _missing_text(figure, records, arm, seeds) for arm, seeds in missing.items()}
    lines = [f"{arm}: {text}" for arm, text in texts.items() if text]
    if any(missing.values()):
        lines.append("no mean where a finished trial has no value")
    return [*identity, *lines, *_clipped_notes(figure, records, rows, missing)]


def _identity_notes(figure: PanelFigure, records: Records, rows: pd.DataFrame) -> list[str]:
    """Return a note if means are over parts, such as experts, that differ from seed to seed."""
    if figure.ranks_parts or "metric" not in rows:
        return []
    declared = {metric: records.declared.get(metric) for metric in rows["metric"].unique()}
    stems = {
        one.exchangeable
        for metric, one in declared.items()
        if one is not None and has_exchangeable_part(metric, one)
    }
    several = any(len(records.seeds.get(str(arm), ())) > 1 for arm in rows["arm"].unique())
    return [
        f"{stem}s of different seeds do not correspond, so these means have no meaning"
        for stem in sorted(stems)
        if several
    ]


def _missing_text(figure: PanelFigure, records: Records, arm: str, missing: frozenset[int]) -> str:
    """Return a text on an arm's missing seeds; a curve also names diverged seeds with values."""
    counted = records.seeds.get(arm, frozenset())
    diverged = records.diverged_seeds.get(arm, frozenset())
    planned = records.planned_seeds.get(arm, frozenset()) | counted
    named = diverged if "step" in figure.group_columns else diverged & missing
    return format_missing_seeds(planned, counted, missing, named)


def _shown_seed_notes(records: Records, rows: pd.DataFrame) -> list[str]:
    """Return notes on the seed shown of each arm, and whether it is a later or a diverged one."""
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
