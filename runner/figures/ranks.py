"""The ranks of parts that have no shared identity over seeds, such as experts by load.

Expert 3 of one seed has no counterpart under another seed; the busiest expert has one.
"""

import pandas as pd


def rank_values(rows: pd.DataFrame, column: str, by: list[str]) -> pd.DataFrame:
    """Return rows with the rank of their value in place of `column`, as text; in order of ranks.

    Rank 1 is the largest value among the rows of one arm and seed that agree in the other columns
    `by`. A value that is not finite makes all ranks of its group missing values.
    """
    groups = list(dict.fromkeys(["arm", "seed", *(name for name in by if name != column)]))
    keys = [rows[name] for name in groups]
    values = rows["value"]
    ranks = values.groupby(keys, observed=True).rank(method="first", ascending=False)
    n = values.groupby(keys, observed=True).transform("size")
    complete = values.notna().groupby(keys, observed=True).transform("all")
    ranks = ranks.fillna(rows.groupby(keys, observed=True).cumcount() + 1)
    ranked = rows.assign(_rank=ranks.astype(int), value=values.where(complete))
    ranked = ranked.sort_values("_rank", kind="stable")
    texts = {rank: rank_text(rank, int(n.max())) for rank in ranked["_rank"].unique()}
    ranked[column] = ranked["_rank"].map(texts)
    return ranked.drop(columns="_rank")


def rank_by_last_value(rows: pd.DataFrame, column: str, x: str, by: list[str]) -> pd.DataFrame:
    """Return rows with a rank in place of `column`: that of its value at the last `x`."""
    last = rows[rows[x] == rows[x].max()]
    others = list(dict.fromkeys(["arm", "seed", *(c for c in by if c not in (column, x))]))
    ranked = rank_values(last.assign(_level=last[column]), column, [c for c in by if c != x])
    names = ranked.set_index([*others, "_level"])[column]
    index = pd.MultiIndex.from_frame(rows[[*others, column]])
    ranked_rows = rows.assign(_rank=names.reindex(index).to_numpy(), _place=0)
    order = {text: i for i, text in enumerate(dict.fromkeys(ranked[column]))}
    ranked_rows["_place"] = ranked_rows["_rank"].map(order)
    ranked_rows = ranked_rows[ranked_rows["_rank"].notna()].sort_values("_place", kind="stable")
    ranked_rows[column] = ranked_rows["_rank"]
    return ranked_rows.drop(columns=["_rank", "_place"])


def rank_text(rank: int, n: int) -> str:
    """Return `highest`, `2nd`, ..., `lowest` for ranks from 1 to n."""
    if rank == 1:
        return "highest"
    if rank == n:
        return "lowest"
    ending = "th" if 10 <= rank % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{ending}"
