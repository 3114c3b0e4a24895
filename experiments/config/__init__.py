"""Typed options of the tasks."""

from experiments.config.tasks import (
    Domains,
    Function,
    Induction,
    Numbers,
    Pairs15,
    Patterns,
    Predict,
    Text,
    Unit,
    Waves,
)

__all__ = [
    "Domains",
    "Function",
    "Induction",
    "Numbers",
    "Pairs15",
    "Patterns",
    "Predict",
    "Text",
    "Unit",
    "Waves",
]
