"""The facts that an answer has stated already, so that a later headline need not repeat them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from runner.claims.fairness import format_unequal_settings
from runner.report.headlines import HeadlineComparison


@dataclass
class StatedFacts:
    """The facts that the headlines above have stated.

    costs     the pairs of arm and baseline whose costs are compared
    settings  arm, baseline, and the text on their other settings
    """

    costs: set[tuple[str, str]] = field(default_factory=set)
    settings: set[tuple[str, str, str]] = field(default_factory=set)

    def has_settings(self, row: HeadlineComparison) -> bool:
        """Return whether a headline above has stated the same other settings of an arm."""
        return _settings_key(row) in self.settings

    def add(self, rows: Sequence[HeadlineComparison]) -> None:
        """Add the facts of a headline's comparisons."""
        self.costs |= {(row.arm, row.baseline) for row in rows}
        self.settings |= {_settings_key(row) for row in rows}


def _settings_key(row: HeadlineComparison) -> tuple[str, str, str]:
    return row.arm, row.baseline, format_unequal_settings(row.unequal)
