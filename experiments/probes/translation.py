"""How well sentences are translated by free decoding, and where the decoder looks.

Legend: batch; source, positions of the source; time, positions of the target; n_heads.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from experiments.nn.attention import Attention
from experiments.nn.decoding.translation import translate_greedily
from experiments.nn.encoder_decoder import PAD, EncoderDecoder
from experiments.nn.transformer import Output
from experiments.tasks.batch import Batch
from experiments.tasks.translation import BOS, EOS, TranslationTask

TICK, CROSS = "✓", "✗"


class Sample(NamedTuple):
    """One decoded sentence; `finite` is False where logits that chose its tokens were not."""

    split: str
    source: str
    expected: str
    predicted: str
    finite: bool = True

    @property
    def is_correct(self) -> bool:
        """Whether it is right from end to end."""
        return self.finite and self.expected == self.predicted

    def row(self) -> dict[str, str]:
        """A row of the sample table."""
        texts = {name: getattr(self, name) for name in ("split", "source", "expected", "predicted")}
        return texts | {"ok": TICK if self.is_correct else CROSS}


def share_right(samples: Sequence[Sample]) -> float:
    """The share of sentences that are right; NaN where logits were not finite."""
    if not all(sample.finite for sample in samples):
        return math.nan
    return sum(sample.is_correct for sample in samples) / len(samples)


class TranslationProbe:
    """Decodes the first `most` sentences of each split it is shown (None: all), greedily.

    `exact_match` is the share of sentences that are right from the first token to the end mark,
    `chrf` the chrF of sacrebleu over the whole set, 0 to 100, which ignores spaces where
    `exact_match` minds them. Logits that are not finite choose tokens too: then both are NaN. Both
    without a suffix are of the
    held-out split; `exact_match/{split}` is there for every split that was shown. A decoding stops
    at the length of the longest sentence of the task, so a longer one is wrong either way.
    """

    def __init__(self, model: EncoderDecoder, task: TranslationTask, most: int | None) -> None:
        self.model, self.task, self.most = model, task, most
        self.samples: list[Sample] = []

    def update(self, batch: Batch, output: Output | None = None) -> None:  # noqa: ARG002
        """Decode the sentences of a batch; the model must be in eval mode. `output` is not used.

        What the model predicts behind right tokens says little about free decoding.
        """
        rows = list(self._wanted(batch))
        if not rows:
            return
        source, target = batch.inputs[0][rows], batch.target[rows]
        length = self.task.length
        with track_finite_logits(self.model, source) as finite:
            found = translate_greedily(self.model, source, bos=BOS, eos=EOS, max_length=length)
        self.samples += [
            Sample(
                self.task.labels[int(batch.label[row])],
                self.task.source.text(s),
                self.task.target.text(t),
                self.task.target.text(p),
                good,
            )
            for row, s, t, p, good in zip(
                rows,
                source.tolist(),
                target.tolist(),
                found.tolist(),
                finite.tolist(),
                strict=True,
            )
        ]

    def metrics(self) -> dict[str, float]:
        """The scores of what was decoded so far."""
        found = {}
        for split in dict.fromkeys(sample.split for sample in self.samples):
            part = self.samples_of_split(split)
            right = share_right(part)
            found[f"translation/exact_match/{split}"] = right
            if split == self.task.held_out_split:
                found["translation/exact_match"] = right
                found["translation/chrf"] = chrf_of_samples(part)[0]
        return found

    def samples_of_split(self, split: str) -> list[Sample]:
        """The samples of a split."""
        return [sample for sample in self.samples if sample.split == split]

    def _wanted(self, batch: Batch) -> Iterable[int]:
        """The rows of a batch for which there is room, split by split."""
        seen = {name: len(self.samples_of_split(name)) for name in self.task.labels}
        for row, label in enumerate(batch.label.tolist()):
            name = self.task.labels[label]
            if self.most is None or seen[name] < self.most:
                seen[name] += 1
                yield row


def exact_match_by_digits(
    numbers: Mapping[str, Sequence[int]], decoded: Mapping[str, Sequence[Sample]]
) -> dict[str, float]:
    """`translation/exact_match_digits/{n}`, the share right of all decoded numbers of n digits.

    `numbers` are in the order of the samples of their split.

    Raises:
        ValueError: a split of which not all numbers, or more, were decoded.
    """
    of_digits: dict[int, list[Sample]] = {}
    for split, samples in decoded.items():
        for number, sample in zip(numbers[split], samples, strict=True):
            of_digits.setdefault(len(str(number)), []).append(sample)
    return {
        f"translation/exact_match_digits/{n}": share_right(of_n)
        for n, of_n in sorted(of_digits.items())
    }


@contextmanager
def track_finite_logits(model: EncoderDecoder, source: Tensor) -> Iterator[Tensor]:
    """Hand out (batch,) bools that say for which sentences all logits inside were finite."""
    finite = torch.ones(len(source), dtype=torch.bool, device=source.device)

    def see(_: nn.Module, __: Any, logits: Tensor) -> None:
        finite.logical_and_(logits.isfinite().flatten(1).all(dim=1))

    handle = model.head.register_forward_hook(see)
    try:
        yield finite
    finally:
        handle.remove()


def chrf_of_samples(samples: Sequence[Sample]) -> tuple[float, str]:
    """`chrf` of samples; NaN where logits were not finite."""
    score, by = chrf([s.predicted for s in samples], [s.expected for s in samples])
    return (score if all(s.finite for s in samples) else math.nan), by


def chrf(predicted: Sequence[str], expected: Sequence[str]) -> tuple[float, str]:
    """Corpus chrF2 as sacrebleu computes it, and its signature.

    Character n-grams up to 6 with beta 2 (Popović 2016, after Popović 2015 with beta 1 and 3).
    Spaces are taken out first, so that sentences that differ in them alone score 100.
    """
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    score = metric.corpus_score(list(predicted), [list(expected)]).score
    return score, str(metric.get_signature())


@torch.no_grad()
def cross_attention(model: EncoderDecoder, source: Tensor, target: Tensor) -> list[Tensor]:
    """The weights (batch, n_heads, time, source) of each decoder layer's attention to the source.

    The fused kernel returns no weights, so they are computed anew in float32 from what the layers
    are given, in eval mode: weights behind a dropout do not sum to 1.
    """
    given: list[tuple[Tensor, Tensor]] = []

    def keep_inputs(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given.append((args[0], kwargs["memory"]))

    layers: list[Any] = [block.cross for block in model.decoder]
    hooks = [x.register_forward_pre_hook(keep_inputs, with_kwargs=True) for x in layers]
    was_training = model.training
    try:
        model.eval()(source, target)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    keep = source != PAD
    return [
        cross_attention_weights(layer, *pair, keep)
        for layer, pair in zip(layers, given, strict=True)
    ]


def cross_attention_weights(
    attention: Attention, x: Tensor, memory: Tensor, keep: Tensor
) -> Tensor:
    """softmax(Q K^T / sqrt(d_head)) over kept keys: (batch, n_heads, time, source)."""
    query, key = (
        projected.float().unflatten(-1, (-1, attention.d_head)).transpose(1, 2)
        for projected in (attention.query(x), attention.key(memory))
    )
    key = key.repeat_interleave(attention.n_heads // attention.n_kv_heads, dim=1)
    scores = query @ key.transpose(2, 3) * attention.d_head**-0.5
    return scores.masked_fill(~keep[:, None, None, :], -torch.inf).softmax(dim=-1)


def cross_attention_rows(
    model: EncoderDecoder, task: TranslationTask, batch: Batch
) -> list[dict[str, Any]]:
    """Rows of the table cross_attention for the longest sentence of a batch, as it is decoded."""
    row = int((batch.inputs[0] != PAD).sum(dim=1).argmax())
    source = batch.inputs[0][row : row + 1]
    source = source[:, source[0] != PAD]
    found = translate_greedily(model, source, bos=BOS, eos=EOS, max_length=task.length)
    start = torch.full_like(found[:, :1], BOS)
    per_layer = cross_attention(model, source, torch.cat((start, found[:, :-1]), dim=1))
    keys = [task.source.tokens[i] for i in source[0].tolist()]
    queries = [task.target.tokens[i] for i in found[0].tolist()]
    return [
        {
            "layer": layer,
            "head": head,
            "query": query,
            "key": key,
            "weight": float(values[0, head, query, key]),
            "query_label": queries[query],
            "key_label": keys[key],
        }
        for layer, values in enumerate(per_layer)
        for head in range(values.shape[1])
        for query in range(len(queries))
        for key in range(len(keys))
    ]
