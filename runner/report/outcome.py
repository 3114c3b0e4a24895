"""The outcome of a report: answer, findings and comparisons, with the path of the page."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from runner.claims.finding import Finding
from runner.report.headlines import HeadlineComparison


@dataclass(frozen=True)
class Outcome:
    """The content of a report, its path and the seconds it took to write.

    The frames `comparison` and `summary` are those of `runner.stats.comparison`.
    """

    answer: list[str]
    findings: list[Finding]
    comparisons: list[HeadlineComparison]
    comparison: pd.DataFrame
    summary: pd.DataFrame
    report_path: Path
    warnings: list[str]
    seconds: float
