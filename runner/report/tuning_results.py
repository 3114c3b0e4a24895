"""The results of tuning, as notes and as a table."""

import csv
import math
from pathlib import Path

from runner.report.run_folder import TUNING_FILE
from runner.study.tuning import TuningResult


def tuning_notes(tuned: TuningResult) -> list[str]:
    """Return a line for each arm: its tuned value, and its sensitivity to that value."""
    return [
        f"tuned {arm}: {override}, {'inside' if tuned.interior[arm] else 'at the edge of'} the "
        f"grid; the mean over the grid is {format_sensitivity(tuned.sensitivity[arm])} "
        f"(all values: {TUNING_FILE})"
        for arm, override in tuned.overrides.items()
    ]


def format_sensitivity(sensitivity: float) -> str:
    """Return in words how much worse than the best value the mean over the grid is."""
    if math.isnan(sensitivity):
        return "unknown, since a value of the grid has no result"
    return f"{sensitivity:.3g} worse than the best value"


def write_tuning_table(folder: Path, tuned: TuningResult) -> None:
    """Write all values that tuning measured: columns arm, value, seed, metric."""
    with (folder / TUNING_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(tuned.rows[0]))
        writer.writeheader()
        writer.writerows(tuned.rows)
