"""What a report hands back."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from runner.claims.finding import Finding
from runner.report.headlines import HeadlineComparison


@dataclass(frozen=True)
class Outcome:
    """What the report found and where it lies; frames as in `runner.stats.comparison`."""

    answer: list[str]
    findings: list[Finding]
    comparisons: list[HeadlineComparison]
    comparison: pd.DataFrame
    summary: pd.DataFrame
    report_path: Path
    warnings: list[str]
    seconds: float
