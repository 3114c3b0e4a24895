"""How well a model continues what repeats, and which heads look where it was before.

Legend: batch, time, n_heads; p is the period of a sequence [begin] r r r .... Position t holds the
symbol t, and the prediction there is of the symbol t + 1, so that the symbols p + 1 to 2p are the
second copy of r.

The second copy is what is scored: there a symbol that r has once has one earlier occurrence, one
that r has twice has more, and in later copies all have. Left out is the prediction of its first
symbol, as nothing says that a copy begins. Heads are scored where p >= 3: for shorter periods the
token after the occurrence one period back is the query's neighbour or the query itself.
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

LEAST_PERIOD = 3
CHUNKS = 4
KEY_OFFSETS = {"induction": 1, "duplicate": 0}
"""How far behind an earlier occurrence of the query's token the keys lie that a score is about."""


class CopyProbe:
    """Streams over the batches of one evaluation, and runs the model on their inputs once more.

    Metrics, without a unit but for the second:

        heads/copy_accuracy     share of right predictions of the second copy
        heads/icl_score         mean loss in the second copy minus that in the first, nats; below 0
                                is learning in context. It is named after the in-context learning
                                score of Olsson et al. 2022, which is the loss at token 500 minus
                                that at token 50; here the first copy costs log(vocabulary)
        heads/induction         mean weight from a token of the second copy to the tokens after all
                                its earlier occurrences together, but never to itself: the
                                prefix-matching score of Olsson et al. 2022. That of the best head,
                                which grows with the number of heads, while `_uniform` is no
                                maximum; with /layer{l}/head{h} of each head
        heads/duplicate         the same to the earlier occurrences themselves

    Only queries of the second copy count, all of which have such keys, unlike in TransformerLens'
    head_detector, where a perfect induction head reaches the share of those among all queries.
    Olsson et al. score all repeats of 25 tokens, and here it is the second copy of 3 or more. What
    is not there to be scored, or not finite, is NaN.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._right = self._n_second = self._n_first = self._n_rows = 0
        self._second = self._first = 0.0
        self._weight: dict[str, dict[str, Tensor]] = {name: {} for name in KEY_OFFSETS}

    @torch.no_grad()
    def update(self, batch: Batch, output: Output) -> None:
        """Count one batch and the model's output on it."""
        first, second = copy_masks(batch.inputs[0])
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
        # Logits that are not finite have a largest one too, which is no prediction.
        right = self._right if math.isfinite(self._second) else math.nan
        found = {
            "heads/copy_accuracy": ratio_or_nan(right, self._n_second),
            "heads/icl_score": ratio_or_nan(self._second, self._n_second)
            - ratio_or_nan(self._first, self._n_first),
        }
        for name in KEY_OFFSETS:
            scores = self.scores(name)
            found[f"heads/{name}"] = max_or_nan(value for layer in scores for value in layer)
            found |= {
                f"heads/{name}/layer{index}/head{head}": value
                for index, layer in enumerate(scores)
                for head, value in enumerate(layer)
            }
        return replace_nonfinite(found)

    def scores(self, name: str = "induction") -> list[list[float]]:
        """The score of each head, layer by layer."""
        return [row for layer, row in self.table()[name].items() if layer != "uniform"]

    def table(self) -> dict[str, dict[str, list[float]]]:
        """By score and layer, or `uniform` for even attention, a value for each head."""
        return {
            name: {
                layer: [ratio_or_nan(value, self._n_rows) for value in sums.tolist()]
                for layer, sums in layers.items()
            }
            for name, layers in self._weight.items()
        }

    def _look(self, batch: Batch) -> None:
        tokens = batch.inputs[0]
        rows = scored_rows(tokens)
        self._n_rows += int(rows.sum())
        wanted = {
            name: scored_keys(tokens, ahead) & rows[:, :, None]
            for name, ahead in KEY_OFFSETS.items()
        }

        def add(layer: str, p: Tensor) -> None:
            for name, keys in wanted.items():
                seen = torch.einsum("bhqk,bqk->h", p, keys.to(p.dtype)).cpu().double()
                sums = self._weight[name]
                sums[layer] = sums[layer] + seen if layer in sums else seen

        def see(index: int, queries: Tensor, keys: Tensor) -> None:
            add(f"layer{index}", self_attention_weights(queries, keys))

        visit_queries_keys(self.model, batch, see)
        time = tokens.shape[1]
        n_keys = torch.arange(1, time + 1, device=tokens.device)[:, None]
        add("uniform", (1 / n_keys).expand(len(tokens), 1, time, time))


def find_periods(tokens: Tensor) -> Tensor:
    """Return after how many steps each row (batch, time) repeats itself, but for its first token.

    The smallest number that fits; the number of steps, where nothing is repeated.
    """
    symbols = tokens[:, 1:]
    steps = symbols.shape[1]
    found = torch.full((len(symbols),), steps, device=tokens.device)
    for period in range(steps - 1, 0, -1):
        fits = (symbols[:, period:] == symbols[:, :-period]).all(dim=1)
        found[fits] = period
    return found


def copy_masks(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Where (batch, time) the first copy is predicted, and the second but for its first symbol."""
    period = find_periods(tokens)[:, None]
    place = torch.arange(tokens.shape[1], device=tokens.device)
    return place < period, (place > period) & (place < 2 * period)


def scored_rows(tokens: Tensor) -> Tensor:
    """Where (batch, time) the queries are that heads are scored by: the second copy."""
    period = find_periods(tokens)[:, None]
    place = torch.arange(tokens.shape[1], device=tokens.device)
    return (place > period) & (place <= 2 * period) & (period >= LEAST_PERIOD)


def scored_keys(tokens: Tensor, ahead: int) -> Tensor:
    """The keys (batch, query, key) `ahead` behind all earlier occurrences of the query's token.

    A query is no key of its own, though it stands behind one that equals it.
    """
    earlier = (tokens[:, :, None] == tokens[:, None, :]).tril(-1)
    return F.pad(earlier, (ahead, 0))[:, :, : tokens.shape[1]].tril(-1)


def copy_loss(prediction: Tensor, batch: Batch) -> Tensor:
    """The loss of each sequence (batch,): summed over what the copy accuracy counts, nats."""
    second = copy_masks(batch.inputs[0])[1]
    loss = F.cross_entropy(prediction.transpose(1, 2), batch.target, reduction="none")
    return (loss * second).sum(1)


def make_copy_accuracy(batches: Sequence[Batch]) -> Callable[[nn.Module], float]:
    """What gives the copy accuracy of a model on these batches, as it is, hooks included.

    Sequences are sorted by period, and nothing behind their second copies is computed. NaN where a
    largest logit is not finite.
    """
    tokens, target = (
        torch.cat([part(batch) for batch in batches])
        for part in (lambda batch: batch.inputs[0], lambda batch: batch.target)
    )
    period = find_periods(tokens)
    chunks = []
    for rows in period.argsort().chunk(CHUNKS):
        end = 2 * int(period[rows].max())
        inputs = tokens[rows, :end]
        chunks.append((inputs, target[rows, :end], copy_masks(tokens[rows])[1][:, :end]))
    n = sum(int(second.sum()) for _, _, second in chunks)

    @torch.no_grad()
    def accuracy(model: nn.Module) -> float:
        found, finite = 0, True
        for inputs, wanted, second in chunks:
            logits = model(inputs).prediction
            found += int((logits.argmax(dim=-1) == wanted)[second].sum())
            finite &= bool(logits.amax(dim=-1)[second].isfinite().all())
        return ratio_or_nan(found, n) if finite else math.nan

    return accuracy
