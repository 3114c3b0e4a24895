"""Notes on the trials of a run: other package versions, other machines, and their own messages."""

import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from runner.wording.names import format_count

MAX_NAMED = 3  # trials that a note names


def environment_notes(trials: pd.DataFrame) -> list[str]:
    """Return a line for each set of versions, and each machine, that most trials do not have.

    `trials` has the columns `versions` and `machine`: dicts, or None for a trial without them.
    """
    notes = []
    for value, usual, rows in _others(trials, "versions"):
        differing = [name for name in value if value[name] != usual.get(name)]
        own = " and ".join(f"{name} {value[name]}" for name in differing)
        others = " and ".join(f"{name} {usual.get(name)}" for name in differing)
        notes.append(f"{_count(rows, trials)} computed with {own}, the others with {others}")
    for value, usual, rows in _others(trials, "machine"):
        names = [name for name in {**value, **usual} if value.get(name) != usual.get(name)]
        own, others = (", ".join(f"{n} {m.get(n)}" for n in names) for m in (value, usual))
        notes.append(f"{_count(rows, trials)} computed on another machine: {own}; not {others}")
    if machines_differ(trials):
        notes.append(
            "the trials come from different machines. So times and memory are left out of the "
            "cost table, and figures with times or memory mix machines"
        )
    return notes


def message_notes(trials: pd.DataFrame) -> list[str]:
    """Return the messages of trials that are done, e.g. on a loss that rose and recovered."""
    if "message" not in trials:
        return []
    rows = trials[(trials["status"] == "done") & trials["message"].astype(bool)]
    # Trials of one arm may have the same message, e.g. on a figure: that is one line.
    lines = [
        f"{arm} seed {of_message.seed.iloc[0]}: {message}"
        if len(of_message) == 1
        else f"{arm}, {len(of_message)} seeds: {message}"
        for (arm, message), of_message in rows.groupby(["arm", "message"], sort=False)
    ]
    n_more = len(lines) - MAX_NAMED
    more = [f"{format_count(n_more, 'more message')} of this kind"] if n_more > 0 else []
    return [*lines[:MAX_NAMED], *more]


def machines_differ(trials: pd.DataFrame) -> bool:
    """Return whether the trials name more than one machine; trials that name none do not count."""
    return len(_group_by_value(trials, "machine")) > 1


def count_environments(trials: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """Return the distinct dicts of a column, each with its number of trials, for a JSON record."""
    return [{**value, "trials": len(rows)} for value, rows in _group_by_value(trials, column)]


def format_trial_names(rows: Sequence[tuple[Hashable, Hashable]]) -> str:
    """Return the names of the first trials, and the number of the others."""
    more = [f"and {len(rows) - MAX_NAMED} more"] if len(rows) > MAX_NAMED else []
    return ", ".join([*(f"{arm} seed {seed}" for arm, seed in rows[:MAX_NAMED]), *more])


def _count(rows: Sequence[tuple[Hashable, Hashable]], trials: pd.DataFrame) -> str:
    were = "was" if len(rows) == 1 else "were"
    return f"{len(rows)} of {len(trials)} trials ({format_trial_names(rows)}) {were}"


def _others(
    trials: pd.DataFrame, column: str
) -> list[tuple[Mapping[str, Any], Mapping[str, Any], list[tuple[Hashable, Hashable]]]]:
    """Return each less frequent value, the most frequent one, and the trials of the former."""
    values = _group_by_value(trials, column)
    if not values:
        return []
    (usual, _), *others = values
    return [(value, usual, rows) for value, rows in others]


def _group_by_value(
    trials: pd.DataFrame, column: str
) -> list[tuple[dict[str, Any], list[tuple[Hashable, Hashable]]]]:
    """Return the values of a column of dicts with their trials, the most frequent first."""
    if column not in trials:
        return []
    rows: dict[str, list[tuple[Hashable, Hashable]]] = {}
    for arm, seed, value in zip(trials.arm, trials.seed, trials[column], strict=True):
        if isinstance(value, Mapping):
            rows.setdefault(json.dumps(value, sort_keys=True), []).append((arm, seed))
    counts = Counter({key: len(names) for key, names in rows.items()})
    return [(json.loads(key), rows[key]) for key, _ in counts.most_common()]
