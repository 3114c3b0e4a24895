"""Rows of the metrics that a template matches; its placeholders become columns."""

from typing import Any

import pandas as pd

from runner.metric_names import placeholders, template_pattern


def select_metric_rows(rows: pd.DataFrame, template: str, arms: list[str]) -> pd.DataFrame:
    """Rows whose metric matches, for the given arms in their order, with a column per placeholder.

    A column whose values are all whole numbers is made integer, so that `expert10` comes after
    `expert9`. Numbers of more than 18 digits, which 64 bits may not hold, stay text.
    """
    form = template_pattern(template)
    matches = {name: form.fullmatch(name) for name in rows["metric"].unique()}
    found = {name: m.groupdict() for name, m in matches.items() if m}
    chosen = select_arms_in_order(rows[rows["metric"].isin(found)], arms)
    for column in placeholders(template):
        values = chosen["metric"].map({name: groups[column] for name, groups in found.items()})
        whole = len(values) > 0 and values.str.fullmatch(r"\d{1,18}").all()
        chosen[column] = values.astype(int) if whole else values
    return chosen


def select_arms_in_order(rows: pd.DataFrame, arms: list[str]) -> pd.DataFrame:
    """A copy with the rows of the given arms, in the arms' order."""
    order = {arm: i for i, arm in enumerate(arms)}
    chosen = rows[rows["arm"].isin(arms)].copy()
    return chosen.sort_values("arm", key=lambda column: column.map(order), kind="stable")


def levels(rows: pd.DataFrame, column: str) -> list[Any]:
    """The distinct values of a column: numbers ascending, words in the order of appearance."""
    values = list(rows[column].unique())
    return sorted(values) if pd.api.types.is_numeric_dtype(rows[column]) else values
