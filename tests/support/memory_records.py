"""The records that figures are drawn from, of trials in memory."""

import pandas as pd

from runner.figures.data import Records
from runner.report.collection import RESULT_COLUMNS
from runner.report.records_archive import HISTORY_COLUMNS
from tests.support.memory_trial import MemoryTrial


def records_from_trials(trials: dict[str, MemoryTrial]) -> Records:
    """Return the records of trials by arm, all with seed 0."""
    results = [
        (arm, 0, name, value, unit)
        for arm, trial in trials.items()
        for name, (value, unit) in trial.results.items()
    ]
    history = [
        (arm, 0, step, name, value)
        for arm, trial in trials.items()
        for (step, name), value in trial.rows.items()
    ]
    tables = {
        name: pd.concat(
            pd.DataFrame([{"arm": arm, "seed": 0, **row} for row in trial.tables[name]])
            for arm, trial in trials.items()
        )
        for name in next(iter(trials.values())).tables
    }
    return Records(
        pd.DataFrame(results, columns=RESULT_COLUMNS),
        pd.DataFrame(history, columns=HISTORY_COLUMNS),
        list(trials),
        tables,
    )
