"""A probe of attention heads on held-out data: entropy, distance, and weight on fixed offsets.

Legend: batch, n_heads, time, labels; a score is a mean over queries. Padding does not count, nor do
queries that see a single key, since all heads score the same there. For an offset, only queries
with a valid key at this offset count.
"""

from collections.abc import Mapping
from statistics import fmean

import numpy as np
import torch
from torch import Tensor, nn

from experiments.probes.heads.attention_weights import self_attention_weights, visit_queries_keys
from experiments.probes.heads.scores import RowScores, row_scores, uniform_scores, valid_keys
from experiments.probes.nonfinite import max_or_nan, replace_nonfinite
from experiments.tasks.batch import Batch

FIXED_OFFSETS = {"diagonal": 0, "previous": 1}
SHAPE_SCORES = ("entropy", "entropy_share", "distance", "distance_share")


class HeadProbe:
    """A probe of heads, which sees every batch of one evaluation and runs the model on it again.

    Scores, between 0 and 1 except for entropy and distance, and NaN where the weights are:

    - `entropy`: nats. It grows with the number of keys; even attention over n keys has ln n.
    - `entropy_share`: the entropy of a query over the log of the number of its valid keys.
    - `distance`: positions. `distance_share`: the distance over length - 1.
    - `diagonal`, `previous`: the mean weight on the query's position, and on the previous one.
    - `offset_<label>`: the mean weight at the offset `lags[label]`.
    - `earlier_offset`: a head's largest score on an earlier position, of `previous` and
      `offset_<label>`; every task has it.

    Args:
        model: a model with causal `Attention` layers.
        labels: names of the sequences' labels, for scores on one label.
        lags: label -> the offset back from a query to its planted key; {} without planted keys.
        block: queries whose weights are in memory at a time; memory grows with block * length.
    """

    def __init__(
        self, model: nn.Module, labels: tuple[str, ...], lags: Mapping[str, int], *, block: int
    ) -> None:
        self.model, self.labels, self.block = model, labels, block
        offsets = FIXED_OFFSETS | {f"offset_{label}": lag for label, lag in lags.items()}
        self.lags = tuple(offsets.values())
        self.planted_lags = dict(lags)
        self.scores = (*SHAPE_SCORES, *offsets)
        self._sums: dict[str, Tensor] = {}  # layer -> (scores, labels, n_heads), float64
        self._counts = torch.zeros(len(self.scores), len(labels), dtype=torch.float64)

    def update(self, batch: Batch, output: object = None) -> None:  # noqa: ARG002
        """Count one batch; the model's output on it is not used."""
        keep = batch.keep
        n_valid = valid_keys(keep)
        counted = self._counted_queries(keep, n_valid)
        label = torch.nn.functional.one_hot(batch.label, len(self.labels)).to(counted.dtype)
        self._counts += torch.einsum("sbt,bl->sl", counted, label).cpu()

        def add(name: str, per_query: RowScores) -> None:
            length = keep.shape[1]
            entropy, distance, shares = per_query
            values = torch.stack(
                [
                    entropy,
                    entropy / n_valid.clamp(min=2).log()[:, None],
                    distance,
                    distance / max(1, length - 1),
                    *shares,
                ]
            ).to(counted.dtype)
            sums = torch.einsum("sbht,sbt,bl->slh", values, counted, label).cpu().double()
            self._sums[name] = self._sums[name] + sums if name in self._sums else sums

        padding = None if bool(keep.all()) else keep

        def add_layer(index: int, query: Tensor, key: Tensor) -> None:
            add(f"layer{index}", row_scores(query, key, padding, self.lags, block=self.block))

        visit_queries_keys(self.model, batch, add_layer)
        entropy, distance, shares = uniform_scores(keep, self.lags)
        add("uniform", RowScores(entropy[:, None], distance[:, None], shares[:, :, None]))

    def metrics(self) -> dict[str, float]:
        """Return means over all heads, spreads, and the scores of single heads.

        They are `heads/<score>`, `heads/<score>_spread` and `heads/<score>/layer{l}/head{h}`. A
        spread is the standard deviation over the heads of a layer, as a mean over layers.
        """
        metrics = {}
        for score, table in self.table().items():
            layers = {name: row for name, row in table.items() if name != "uniform"}
            metrics[f"heads/{score}"] = fmean([value for row in layers.values() for value in row])
            metrics[f"heads/{score}_spread"] = fmean(
                [standard_deviation(row) for row in layers.values()]
            )
            for name, row in layers.items():
                metrics |= {f"heads/{score}/{name}/head{h}": value for h, value in enumerate(row)}
        return replace_nonfinite(metrics)

    def table(self, label: str | None = None) -> dict[str, dict[str, list[float]]]:
        """Return a value for each head, by score and layer; `uniform` is even attention.

        Values are over all data, or over the sequences of one label.
        """
        columns = list(range(len(self.labels))) if label is None else [self.labels.index(label)]
        n = self._counts[:, columns].sum(1)
        scores = {
            score: {
                name: (sums[i, columns].sum(0) / n[i]).tolist() for name, sums in self._sums.items()
            }
            for i, score in enumerate(self.scores)
            if n[i]  # 0 for an offset that no sequence is long enough for
        }
        lags = zip(self.scores[len(SHAPE_SCORES) :], self.lags, strict=True)
        earlier = [scores[score] for score, lag in lags if lag and score in scores]
        if earlier:
            scores["earlier_offset"] = {
                name: [
                    max_or_nan(of_head)
                    for of_head in zip(*(table[name] for table in earlier), strict=True)
                ]
                for name in self._sums
            }
        return scores

    def _counted_queries(self, keep: Tensor, n_valid: Tensor) -> Tensor:
        """Return 1 where a query counts for a score, otherwise 0: (scores, batch, time)."""
        choice = keep & (n_valid > 1)
        position = torch.arange(keep.shape[1], device=keep.device)
        with_key = [choice & keep.roll(lag, 1) & (position >= lag) for lag in self.lags]
        return torch.stack([choice] * len(SHAPE_SCORES) + with_key).float()


def standard_deviation(values: list[float]) -> float:
    """Return the population standard deviation; NaN for NaN, on which `statistics.pstdev` fails."""
    return float(np.std(values))


def self_attention_rows(
    model: nn.Module, batch: Batch, *, sequence: int, up_to: int | None = None
) -> list[dict[str, float]]:
    """Return the weights of one sequence: a row for each layer, head, query and key.

    Keys after the query have no row. `up_to` is the number of positions, from the first.
    """
    table: list[dict[str, float]] = []
    one = batch.select(slice(sequence, sequence + 1), slice(up_to))
    positions = one.keep[0].nonzero()[:, 0].tolist()
    padding = None if bool(one.keep.all()) else one.keep

    def add_layer(index: int, query: Tensor, key: Tensor) -> None:
        matrices = self_attention_weights(query, key, padding)[0].tolist()
        table.extend(
            {"layer": index, "head": head, "query": query, "key": key, "weight": rows[query][key]}
            for head, rows in enumerate(matrices)
            for query in positions
            for key in positions
            if key <= query
        )

    visit_queries_keys(model, one, add_layer)
    return table
