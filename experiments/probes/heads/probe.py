"""What attention heads do on held-out data: entropy, distance, and weight on fixed offsets.

Legend: batch, n_heads, time, labels; a score is a mean over queries. Queries that see a single key
are left out, since every head scores the same there, and so is padding. An offset counts the
queries that have a valid key there.
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

OWN = {"diagonal": 0, "previous": 1}
NATURAL = ("entropy", "entropy_share", "distance", "distance_share")


class HeadProbe:
    """Streams over the batches of one evaluation, and runs the model on their inputs once more.

    Scores: `entropy` in nats, which grows with the number of keys (even attention over n has ln n);
    `entropy_share`, of each query over the log of its valid keys;
    `distance` in positions; `distance_share`, over length - 1; `diagonal` and `previous`, the mean
    weight on the own and the last position; `offset_<label>`, the mean weight at `lags[label]`;
    `earlier_offset`, the largest of these on an earlier position, which every task has. All but
    entropy and distance lie in 0..1 by nature. All are NaN where the weights are.

    Args:
        model: any model with our attention layers, causal.
        labels: names of the sequences' labels, for scores on one label.
        lags: label -> how far back of a query its planted key lies; {} where nothing is planted.
        block: queries whose weights exist at a time; memory grows with block * length.
    """

    def __init__(
        self, model: nn.Module, labels: tuple[str, ...], lags: Mapping[str, int], *, block: int
    ) -> None:
        self.model, self.labels, self.block = model, labels, block
        offsets = OWN | {f"offset_{label}": lag for label, lag in lags.items()}
        self.lags = tuple(offsets.values())
        self.planted_lags = dict(lags)
        self.scores = (*NATURAL, *offsets)
        self._sums: dict[str, Tensor] = {}  # layer -> (scores, labels, n_heads), float64
        self._counts = torch.zeros(len(self.scores), len(labels), dtype=torch.float64)

    def update(self, batch: Batch, output: object = None) -> None:  # noqa: ARG002
        """Count one batch; the model's output on it is not needed."""
        keep = batch.keep
        valid = valid_keys(keep)
        counted = self._counted(keep, valid)
        label = torch.nn.functional.one_hot(batch.label, len(self.labels)).to(counted.dtype)
        self._counts += torch.einsum("sbt,bl->sl", counted, label).cpu()

        def add(name: str, found: RowScores) -> None:
            length = keep.shape[1]
            entropy, distance, shares = found
            values = torch.stack(
                [
                    entropy,
                    entropy / valid.clamp(min=2).log()[:, None],
                    distance,
                    distance / max(1, length - 1),
                    *shares,
                ]
            ).to(counted.dtype)
            sums = torch.einsum("sbht,sbt,bl->slh", values, counted, label).cpu().double()
            self._sums[name] = self._sums[name] + sums if name in self._sums else sums

        padding = None if bool(keep.all()) else keep

        def see(index: int, query: Tensor, key: Tensor) -> None:
            add(f"layer{index}", row_scores(query, key, padding, self.lags, block=self.block))

        visit_queries_keys(self.model, batch, see)
        entropy, distance, shares = uniform_scores(keep, self.lags)
        add("uniform", RowScores(entropy[:, None], distance[:, None], shares[:, :, None]))

    def metrics(self) -> dict[str, float]:
        """`heads/<score>`, the mean over all heads, and `heads/<score>/layer{l}/head{h}`.

        `heads/<score>_spread` is how much heads of one layer differ: their standard deviation, mean
        over layers.
        """
        found = {}
        for score, table in self.table().items():
            layers = {name: row for name, row in table.items() if name != "uniform"}
            found[f"heads/{score}"] = fmean([value for row in layers.values() for value in row])
            found[f"heads/{score}_spread"] = fmean(
                [standard_deviation(row) for row in layers.values()]
            )
            for name, row in layers.items():
                found |= {f"heads/{score}/{name}/head{h}": value for h, value in enumerate(row)}
        return replace_nonfinite(found)

    def table(self, label: str | None = None) -> dict[str, dict[str, list[float]]]:
        """By score and layer (or `uniform`) a value for each head, over all data or a label's."""
        chosen = list(range(len(self.labels))) if label is None else [self.labels.index(label)]
        n = self._counts[:, chosen].sum(1)
        found = {
            score: {
                name: (sums[i, chosen].sum(0) / n[i]).tolist() for name, sums in self._sums.items()
            }
            for i, score in enumerate(self.scores)
            if n[i]  # no sequence long enough for an offset has no score there
        }
        lags = zip(self.scores[len(NATURAL) :], self.lags, strict=True)
        earlier = [found[score] for score, lag in lags if lag and score in found]
        if earlier:
            found["earlier_offset"] = {
                name: [
                    max_or_nan(at) for at in zip(*(table[name] for table in earlier), strict=True)
                ]
                for name in self._sums
            }
        return found

    def _counted(self, keep: Tensor, valid: Tensor) -> Tensor:
        """1 where a query counts for a score: (scores, batch, time)."""
        choice = keep & (valid > 1)
        position = torch.arange(keep.shape[1], device=keep.device)
        there = [choice & keep.roll(lag, 1) & (position >= lag) for lag in self.lags]
        return torch.stack([choice] * len(NATURAL) + there).float()


def standard_deviation(values: list[float]) -> float:
    """The standard deviation of all there are; NaN for NaN, on which `statistics.pstdev` fails."""
    return float(np.std(values))


def self_attention_rows(
    model: nn.Module, batch: Batch, *, sequence: int, up_to: int | None = None
) -> list[dict[str, float]]:
    """Raw weights of one sequence: a row for each layer, head, query and key that it may see.

    `up_to` leaves later positions out, which no earlier one sees.
    """
    found: list[dict[str, float]] = []
    one = batch.select(slice(sequence, sequence + 1), slice(up_to))
    kept = one.keep[0].nonzero()[:, 0].tolist()
    padding = None if bool(one.keep.all()) else one.keep

    def see(index: int, query: Tensor, key: Tensor) -> None:
        matrices = self_attention_weights(query, key, padding)[0].tolist()
        found.extend(
            {"layer": index, "head": head, "query": query, "key": key, "weight": rows[query][key]}
            for head, rows in enumerate(matrices)
            for query in kept
            for key in kept
            if key <= query
        )

    visit_queries_keys(model, one, see)
    return found
