"""The selection of rows by a metric template, whose placeholders become columns."""

import re
from typing import Any

import pandas as pd

from runner.metric_names import placeholders, template_pattern


def select_metric_rows(rows: pd.DataFrame, template: str, arms: list[str]) -> pd.DataFrame:
    """Return the rows of matching metrics and of `arms`, with a column per placeholder.

    A column of only whole numbers becomes integer, so that `expert10` is after `expert9`. Numbers
    of more than 18 digits, which 64 bits may not hold, stay text.
    """
    pattern = template_pattern(template)
    matches = {name: pattern.fullmatch(name) for name in rows["metric"].unique()}
    metrics = {name: m.groupdict() for name, m in matches.items() if m}
    chosen = select_arms_in_order(rows[rows["metric"].isin(metrics)], arms)
    for column in placeholders(template):
        texts = {name: metrics[name][column] for name in chosen["metric"].unique()}
        is_whole = bool(texts) and all(re.fullmatch(r"\d{1,18}", text) for text in texts.values())
        values = {name: int(text) for name, text in texts.items()} if is_whole else texts
        chosen[column] = chosen["metric"].map(values)
    return chosen


def select_arms_in_order(rows: pd.DataFrame, arms: list[str]) -> pd.DataFrame:
    """Return a copy of the rows of these arms, in the order of the arms."""
    order = {arm: i for i, arm in enumerate(arms)}
    chosen = rows[rows["arm"].isin(arms)].copy()
    return chosen.sort_values("arm", key=lambda column: column.map(order), kind="stable")


def levels(rows: pd.DataFrame, column: str) -> list[Any]:
    """Return the distinct values of a column: numbers ascending, texts in order of appearance."""
    values = list(rows[column].unique())
    return sorted(values) if pd.api.types.is_numeric_dtype(rows[column]) else values
