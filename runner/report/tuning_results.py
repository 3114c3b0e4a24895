"""What tuning has found, in words and in a table."""

import csv
import math
from pathlib import Path

from runner.study.tuning import TuningResult

TABLE = "tuning.csv"


def tuning_notes(tuned: TuningResult) -> list[str]:
    """What tuning found, a line for each arm."""
    return [
        f"tuned {arm}: {override}, {'inside' if tuned.interior[arm] else 'at the edge of'} the "
        f"grid; on the mean of the grid it is {worse(tuned.sensitivity[arm])} ({TABLE} has all)"
        for arm, override in tuned.overrides.items()
    ]


def worse(sensitivity: float) -> str:
    """How much worse than its best value an arm is, in words."""
    if math.isnan(sensitivity):
        return "unknown how much worse, since a value has no result"
    return f"{sensitivity:.3g} worse"


def write_tuning_table(folder: Path, tuned: TuningResult) -> None:
    """Write what was measured: columns arm, value, seed, metric."""
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(tuned.rows[0]))
        writer.writeheader()
        writer.writerows(tuned.rows)
