"""How well a model continues what repeats, and which heads look where it was before.

Legend: batch, time, n_heads; p is the period of a sequence [begin] r r r .... Position t holds the
symbol t, and the prediction there is of the symbol t + 1, so that the symbols p + 1 to 2p are the
second copy of r.

The second copy is what is scored, since a symbol has one earlier occurrence there: in later copies
a head may share its weight out among several. Left out is the prediction of its first symbol, as
nothing says that a copy begins. Heads are scored where p >= 3: for shorter periods the token after
the earlier occurrence is the query's neighbour or the query itself.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.nn.transformer import Output
from experiments.probes.attention_weights import watch, weights
from experiments.tasks.batch import Batch
from experiments.tasks.induction import periods

LEAST_PERIOD = 3
CHUNKS = 4
AHEAD = {"induction": 1, "duplicate": 0}
"""How far behind the earlier occurrence of the query's token the key lies that a score is about."""


class CopyProbe:
    """Streams over the batches of one evaluation, and runs the model on their inputs once more.

    Metrics, without a unit but for the second:

        heads/copy_accuracy     share of right predictions of the second copy
        heads/icl_score         mean loss in the second copy minus that in the first, nats; below 0
                                is learning in context (Olsson et al. 2022)
        heads/induction         mean weight from a token of the second copy to the token after its
                                earlier occurrence, the prefix-matching score of Olsson et al. 2022,
                                of the head that has most; with /layer{l}/head{h} of each head
        heads/duplicate         the same to the earlier occurrence itself

    Only queries that have such a key count, unlike in TransformerLens' head_detector, where a
    perfect induction head reaches the share of those among all queries. What is not there to be
    scored is NaN.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._right = self._n_second = self._n_first = self._n_rows = 0
        self._second = self._first = 0.0
        self._weight: dict[str, list[Tensor]] = {name: [] for name in AHEAD}

    @torch.no_grad()
    def update(self, batch: Batch, output: Output) -> None:
        """Count one batch and the model's output on it."""
        first, second = copies(batch.inputs[0])
        loss = F.cross_entropy(
            output.prediction.float().transpose(1, 2), batch.target, reduction="none"
        )
        self._right += int((output.prediction.argmax(dim=-1) == batch.target)[second].sum())
        self._n_first += int(first.sum())
        self._n_second += int(second.sum())
        self._first += float(loss[first].sum())
        self._second += float(loss[second].sum())
        self._look(batch)

    def metrics(self) -> dict[str, float]:
        """Everything above."""
        found = {
            "heads/copy_accuracy": share(self._right, self._n_second),
            "heads/icl_score": share(self._second, self._n_second)
            - share(self._first, self._n_first),
        }
        for name in AHEAD:
            scores = self.scores(name)
            found[f"heads/{name}"] = float(np.max([np.max(layer) for layer in scores]))
            found |= {
                f"heads/{name}/layer{index}/head{head}": value
                for index, layer in enumerate(scores)
                for head, value in enumerate(layer)
            }
        return found

    def scores(self, name: str = "induction") -> list[list[float]]:
        """The score of each head, layer by layer."""
        return [
            [share(value, self._n_rows) for value in layer.tolist()] for layer in self._weight[name]
        ]

    def _look(self, batch: Batch) -> None:
        row, query, back = scored_rows(batch.inputs[0])
        self._n_rows += len(row)

        def see(index: int, queries: Tensor, keys: Tensor) -> None:
            p = weights(queries, keys).transpose(1, 2)  # (batch, time, n_heads, keys)
            for name, ahead in AHEAD.items():
                seen = p[row, query, :, query - back + ahead].sum(0).cpu().double()
                layers = self._weight[name]
                if index == len(layers):
                    layers.append(seen)
                else:
                    layers[index] = layers[index] + seen

        watch(self.model, batch, see)


def copies(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Where (batch, time) the first copy is predicted, and the second but for its first symbol."""
    period = periods(tokens)[:, None]
    place = torch.arange(tokens.shape[1], device=tokens.device)
    return place < period, (place > period) & (place < 2 * period)


def scored_rows(tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sequence, position and period of each query that heads are scored by."""
    period = periods(tokens)[:, None]
    place = torch.arange(tokens.shape[1], device=tokens.device)
    chosen = (place > period) & (place <= 2 * period) & (period >= LEAST_PERIOD)
    row, query = chosen.nonzero(as_tuple=True)
    return row, query, period[row, 0]


def copy_test(batches: Sequence[Batch]) -> Callable[[nn.Module], float]:
    """What gives the copy accuracy of a model on these batches, as it is, hooks included.

    Sequences are sorted by period, and nothing behind their second copies is computed.
    """
    tokens, target = (
        torch.cat([part(batch) for batch in batches])
        for part in (lambda batch: batch.inputs[0], lambda batch: batch.target)
    )
    period = periods(tokens)
    chunks = []
    for rows in period.argsort().chunk(CHUNKS):
        end = 2 * int(period[rows].max())
        inputs = tokens[rows, :end]
        chunks.append((inputs, target[rows, :end], copies(tokens[rows])[1][:, :end]))
    n = sum(int(second.sum()) for _, _, second in chunks)

    @torch.no_grad()
    def accuracy(model: nn.Module) -> float:
        found = 0
        for inputs, wanted, second in chunks:
            found += int((model(inputs).prediction.argmax(dim=-1) == wanted)[second].sum())
        return share(found, n)

    return accuracy


def share(part: float, n: int) -> float:
    """The share of n that `part` is, NaN of nothing."""
    return part / n if n else float("nan")
