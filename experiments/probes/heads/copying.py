"""Copying of repeated sequences: accuracy, and the weight of heads on earlier occurrences.

Legend: batch, time, n_heads; p is the period of a sequence [begin] r r r .... Position t holds
symbol t, and predicts symbol t + 1. So symbols p + 1 to 2p are the second copy of r.

Only the second copy is scored. There, a symbol that is unique in r has exactly one earlier
occurrence; in later copies, every symbol has more. The prediction of the first symbol of the copy
is left out, because no input shows that a copy begins. Heads are scored where p >= 3. For shorter
periods, the token after the occurrence one period back is the query's neighbour or the query.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.nn.transformer import Output
from experiments.probes.heads.attention_weights import self_attention_weights, visit_queries_keys
from experiments.probes.nonfinite import max_or_nan, ratio_or_nan, replace_nonfinite
from experiments.tasks.batch import Batch

MIN_PERIOD = 3
"""The shortest period for which heads are scored."""
N_CHUNKS = 4
"""The number of batches, sorted by period, in which the copy accuracy is computed."""
KEY_OFFSETS = {"induction": 1, "duplicate": 0}
"""The keys of each score, as positions after an earlier occurrence of the query's token."""


class CopyProbe:
    """A probe of copying, which sees every batch of one evaluation and runs the model on it again.

    Metrics, without a unit except for icl_score:

    - `heads/copy_accuracy`: the share of right predictions of the second copy.
    - `heads/icl_score`: the mean loss in the second copy minus that in the first, in nats. Values
      below 0 show learning in context. The in-context learning score of Olsson et al. 2022 is the
      loss at token 500 minus the loss at token 50. Here the first copy costs log(vocabulary).
    - `heads/induction`: the mean weight from a token of the second copy to all tokens that follow
      its earlier occurrences, except to itself. It is the prefix-matching score of Olsson et al.
      2022. With /layer{l}/head{h} it is that of one head, and without it that of the best head. The
      best of more heads is larger by chance, and `_uniform` does not correct for this.
    - `heads/duplicate`: the same weight, to the earlier occurrences themselves.

    Only queries of the second copy count, and all of them have such keys. In TransformerLens'
    head_detector all queries count, so a perfect induction head scores below 1. Olsson et al. score
    all repeats of 25 tokens; here it is the second copy of 3 tokens or more. A metric without data,
    or with a value that is not finite, is NaN.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._right = self._n_second = self._n_first = self._n_rows = 0
        self._second = self._first = 0.0
        self._weight: dict[str, dict[str, Tensor]] = {name: {} for name in KEY_OFFSETS}

    @torch.no_grad()
    def update(self, batch: Batch, output: Output) -> None:
        """Count one batch, with the model's output on it."""
        first, second = copy_masks(batch.inputs[0])
        loss = F.cross_entropy(
            output.prediction.float().transpose(1, 2), batch.target, reduction="none"
        )
        self._right += int((output.prediction.argmax(dim=-1) == batch.target)[second].sum())
        self._n_first += int(first.sum())
        self._n_second += int(second.sum())
        self._first += float(loss[first].sum())
        self._second += float(loss[second].sum())
        self._count_attention(batch)

    def metrics(self) -> dict[str, float]:
        """Return the metrics that the class lists."""
        # Logits that are not finite have an argmax, too, but it does not count as a prediction.
        right = self._right if math.isfinite(self._second) else math.nan
        metrics = {
            "heads/copy_accuracy": ratio_or_nan(right, self._n_second),
            "heads/icl_score": ratio_or_nan(self._second, self._n_second)
            - ratio_or_nan(self._first, self._n_first),
        }
        for name in KEY_OFFSETS:
            scores = self.scores(name)
            metrics[f"heads/{name}"] = max_or_nan(value for layer in scores for value in layer)
            metrics |= {
                f"heads/{name}/layer{index}/head{head}": value
                for index, layer in enumerate(scores)
                for head, value in enumerate(layer)
            }
        return replace_nonfinite(metrics)

    def scores(self, name: str = "induction") -> list[list[float]]:
        """Return a score by layer and head."""
        return [row for layer, row in self.table()[name].items() if layer != "uniform"]

    def table(self) -> dict[str, dict[str, list[float]]]:
        """Return a value for each head, by score and layer; `uniform` is even attention."""
        return {
            name: {
                layer: [ratio_or_nan(value, self._n_rows) for value in sums.tolist()]
                for layer, sums in layers.items()
            }
            for name, layers in self._weight.items()
        }

    def _count_attention(self, batch: Batch) -> None:
        tokens = batch.inputs[0]
        rows = scored_rows(tokens)
        self._n_rows += int(rows.sum())
        scored = {
            name: scored_keys(tokens, offset) & rows[:, :, None]
            for name, offset in KEY_OFFSETS.items()
        }

        def add(layer: str, p: Tensor) -> None:
            for name, keys in scored.items():
                weight = torch.einsum("bhqk,bqk->h", p, keys.to(p.dtype)).cpu().double()
                sums = self._weight[name]
                sums[layer] = sums[layer] + weight if layer in sums else weight

        def add_layer(index: int, queries: Tensor, keys: Tensor) -> None:
            add(f"layer{index}", self_attention_weights(queries, keys))

        visit_queries_keys(self.model, batch, add_layer)
        # Even attention, as a reference: query t has weight 1 / (t + 1) on each key.
        time = tokens.shape[1]
        n_keys = torch.arange(1, time + 1, device=tokens.device)[:, None]
        add("uniform", (1 / n_keys).expand(len(tokens), 1, time, time))


def find_periods(tokens: Tensor) -> Tensor:
    """Return the period (batch,) of each row (batch, time), whose first token does not count.

    It is the smallest number of steps after which the row repeats itself. A row that does not
    repeat has its number of steps as period.
    """
    symbols = tokens[:, 1:]
    steps = symbols.shape[1]
    periods = torch.full((len(symbols),), steps, device=tokens.device)
    # Downwards, so that the smallest period that fits remains.
    for period in range(steps - 1, 0, -1):
        fits = (symbols[:, period:] == symbols[:, :-period]).all(dim=1)
        periods[fits] = period
    return periods


def copy_masks(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return two masks (batch, time): where the first and where the second copy is predicted.

    The second mask leaves out the first symbol of the copy.
    """
    period = find_periods(tokens)[:, None]
    position = torch.arange(tokens.shape[1], device=tokens.device)
    return position < period, (position > period) & (position < 2 * period)


def scored_rows(tokens: Tensor) -> Tensor:
    """Return a mask (batch, time) of the queries by which heads are scored: the second copy."""
    period = find_periods(tokens)[:, None]
    position = torch.arange(tokens.shape[1], device=tokens.device)
    return (position > period) & (position <= 2 * period) & (period >= MIN_PERIOD)


def scored_keys(tokens: Tensor, offset: int) -> Tensor:
    """Return a mask (batch, query, key) of the keys that a score counts.

    They are `offset` positions after any earlier occurrence of the query's token. A query itself
    never counts, even if it directly follows an equal token.
    """
    earlier = (tokens[:, :, None] == tokens[:, None, :]).tril(-1)
    return F.pad(earlier, (offset, 0))[:, :, : tokens.shape[1]].tril(-1)


def copy_loss(prediction: Tensor, batch: Batch) -> Tensor:
    """Return the summed loss (batch,) of the predictions that the copy accuracy counts, in nats."""
    second = copy_masks(batch.inputs[0])[1]
    loss = F.cross_entropy(prediction.transpose(1, 2), batch.target, reduction="none")
    return (loss * second).sum(1)


def make_copy_accuracy(batches: Sequence[Batch]) -> Callable[[nn.Module], float]:
    """Return a function that computes the copy accuracy of a model on these batches.

    It runs the model as it is, with its hooks, and returns NaN if a largest logit is not finite.
    """
    tokens, target = (
        torch.cat([part(batch) for batch in batches])
        for part in (lambda batch: batch.inputs[0], lambda batch: batch.target)
    )
    # Sequences are sorted by period and cut after their second copy, which saves computing.
    period = find_periods(tokens)
    chunks = []
    for rows in period.argsort().chunk(N_CHUNKS):
        end = 2 * int(period[rows].max())
        inputs = tokens[rows, :end]
        chunks.append((inputs, target[rows, :end], copy_masks(tokens[rows])[1][:, :end]))
    n = sum(int(second.sum()) for _, _, second in chunks)

    @torch.no_grad()
    def accuracy(model: nn.Module) -> float:
        n_right, is_finite = 0, True
        for inputs, expected, second in chunks:
            logits = model(inputs).prediction
            n_right += int((logits.argmax(dim=-1) == expected)[second].sum())
            is_finite &= bool(logits.amax(dim=-1)[second].isfinite().all())
        return ratio_or_nan(n_right, n) if is_finite else math.nan

    return accuracy
