"""Where the trials of a run come from: other versions, another machine."""

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

SHOWN = 3  # trials that a note names


def environment_notes(trials: pd.DataFrame) -> list[str]:
    """A line for each origin that is not that of most trials; none where all agree.

    `trials` has the columns `versions` and `machine` (dicts, or None where a trial lacks them).
    """
    notes = []
    for value, usual, rows in _others(trials, "versions"):
        differing = [name for name in value if value[name] != usual.get(name)]
        ours = " and ".join(f"{name} {value[name]}" for name in differing)
        theirs = " and ".join(f"{name} {usual.get(name)}" for name in differing)
        notes.append(f"{_count(rows, trials)} computed with {ours}, the others with {theirs}")
    for value, usual, rows in _others(trials, "machine"):
        names = [name for name in {**value, **usual} if value.get(name) != usual.get(name)]
        ours, theirs = (", ".join(f"{n} {m.get(n)}" for n in names) for m in (value, usual))
        notes.append(f"{_count(rows, trials)} computed on another machine: {ours}; not {theirs}")
    if machines_differ(trials):
        notes.append(
            "the trials of this run come from different machines: times and memory are left out of "
            "the cost table, and figures that show them mix machines"
        )
    return notes


def message_notes(trials: pd.DataFrame) -> list[str]:
    """What trials that are done tell of themselves, e.g. of a loss that rose and came back."""
    if "message" not in trials:
        return []
    telling = trials[(trials["status"] == "done") & trials["message"].astype(bool)]
    lines = [
        f"{arm} seed {seed}: {message}"
        for arm, seed, message in zip(telling.arm, telling.seed, telling.message, strict=True)
    ]
    more = [f"{len(lines) - SHOWN} more trials tell of the like"] if len(lines) > SHOWN else []
    return [*lines[:SHOWN], *more]


def machines_differ(trials: pd.DataFrame) -> bool:
    """Whether the trials that say where they were computed name more than one machine."""
    return len(_known(trials, "machine")) > 1


def count_environments(trials: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """What trials say in a column of dicts, each once with its number of trials, for a record."""
    return [{**value, "trials": len(rows)} for value, rows in _known(trials, column)]


def format_trial_names(rows: Sequence[tuple[Hashable, Hashable]]) -> str:
    """The first of some trials by name."""
    more = [f"and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    return ", ".join([*(f"{arm} seed {seed}" for arm, seed in rows[:SHOWN]), *more])


def _count(rows: Sequence[tuple[Hashable, Hashable]], trials: pd.DataFrame) -> str:
    were = "was" if len(rows) == 1 else "were"
    return f"{len(rows)} of {len(trials)} trials ({format_trial_names(rows)}) {were}"


def _others(
    trials: pd.DataFrame, column: str
) -> list[tuple[Mapping[str, Any], Mapping[str, Any], list[tuple[Hashable, Hashable]]]]:
    """What is not usual, what is, and the trials of the former."""
    known = _known(trials, column)
    if not known:
        return []
    (usual, _), *others = known
    return [(value, usual, rows) for value, rows in others]


def _known(
    trials: pd.DataFrame, column: str
) -> list[tuple[dict[str, Any], list[tuple[Hashable, Hashable]]]]:
    """The values of a column of dicts with their trials, the most frequent first."""
    if column not in trials:
        return []
    rows: dict[str, list[tuple[Hashable, Hashable]]] = {}
    for arm, seed, value in zip(trials.arm, trials.seed, trials[column], strict=True):
        if isinstance(value, Mapping):
            rows.setdefault(json.dumps(value, sort_keys=True), []).append((arm, seed))
    counts = Counter({key: len(found) for key, found in rows.items()})
    return [(json.loads(key), rows[key]) for key, _ in counts.most_common()]
