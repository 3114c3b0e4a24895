"""Scores of greedily decoded translations, and the weights of the decoder's cross-attention.

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
    """One decoded sentence. `finite` is False if a logit was not finite while it was decoded."""

    split: str
    source: str
    expected: str
    predicted: str
    finite: bool = True

    @property
    def is_correct(self) -> bool:
        """Whether the whole sentence is right."""
        return self.finite and self.expected == self.predicted

    def row(self) -> dict[str, str]:
        """Return a row of the table `samples`."""
        texts = {name: getattr(self, name) for name in ("split", "source", "expected", "predicted")}
        return texts | {"ok": TICK if self.is_correct else CROSS}


def share_right(samples: Sequence[Sample]) -> float:
    """Return the share of sentences that are right, or NaN if a logit was not finite."""
    if not all(sample.finite for sample in samples):
        return math.nan
    return sum(sample.is_correct for sample in samples) / len(samples)


class TranslationProbe:
    """A probe that greedily decodes the first `most` sentences (None: all) of each split it sees.

    Metrics, without a suffix for the held-out split:

    - `translation/exact_match`: the share of sentences that are right from the first token to the
      end mark. `translation/exact_match/{split}` exists for every split that the probe saw.
    - `translation/chrf`: chrF of sacrebleu over the whole split, 0 to 100. It ignores spaces, which
      exact match does not.

    Both are NaN if a logit was not finite, since such logits choose tokens, too. Decoding stops at
    the length of the longest sentence of the task: a longer prediction is wrong anyway.
    """

    def __init__(self, model: EncoderDecoder, task: TranslationTask, most: int | None) -> None:
        self.model, self.task, self.most = model, task, most
        self.samples: list[Sample] = []

    def update(self, batch: Batch, output: Output | None = None) -> None:  # noqa: ARG002
        """Decode the sentences of a batch; the model must be in eval mode.

        `output` is not used: predictions after right prefixes say little about free decoding.
        """
        rows = list(self._rows_to_decode(batch))
        if not rows:
            return
        source, target = batch.inputs[0][rows], batch.target[rows]
        length = self.task.length
        with track_finite_logits(self.model, source) as finite:
            predicted = translate_greedily(self.model, source, bos=BOS, eos=EOS, max_length=length)
        self.samples += [
            Sample(
                self.task.labels[int(batch.label[row])],
                self.task.source.text(s),
                self.task.target.text(t),
                self.task.target.text(p),
                is_finite,
            )
            for row, s, t, p, is_finite in zip(
                rows,
                source.tolist(),
                target.tolist(),
                predicted.tolist(),
                finite.tolist(),
                strict=True,
            )
        ]

    def metrics(self) -> dict[str, float]:
        """Return the scores of the sentences decoded so far."""
        metrics = {}
        for split in dict.fromkeys(sample.split for sample in self.samples):
            samples = self.samples_of_split(split)
            exact_match = share_right(samples)
            metrics[f"translation/exact_match/{split}"] = exact_match
            if split == self.task.held_out_split:
                metrics["translation/exact_match"] = exact_match
                metrics["translation/chrf"] = chrf_of_samples(samples)[0]
        return metrics

    def samples_of_split(self, split: str) -> list[Sample]:
        """Return the decoded sentences of a split, in the order of the task."""
        return [sample for sample in self.samples if sample.split == split]

    def _rows_to_decode(self, batch: Batch) -> Iterable[int]:
        """Yield the rows of a batch until their split has `most` decoded sentences."""
        n_decoded = {name: len(self.samples_of_split(name)) for name in self.task.labels}
        for row, label in enumerate(batch.label.tolist()):
            name = self.task.labels[label]
            if self.most is None or n_decoded[name] < self.most:
                n_decoded[name] += 1
                yield row


def exact_match_by_digits(
    numbers: Mapping[str, Sequence[int]], decoded: Mapping[str, Sequence[Sample]]
) -> dict[str, float]:
    """Return `translation/exact_match_digits/{n}`: the share of right numbers with n digits.

    `numbers` and `decoded` map splits to their numbers and decoded sentences, in the same order.

    Raises:
        ValueError: a split has more numbers than decoded sentences, or fewer.
    """
    by_digits: dict[int, list[Sample]] = {}
    for split, samples in decoded.items():
        for number, sample in zip(numbers[split], samples, strict=True):
            by_digits.setdefault(len(str(number)), []).append(sample)
    return {
        f"translation/exact_match_digits/{n}": share_right(samples)
        for n, samples in sorted(by_digits.items())
    }


@contextmanager
def track_finite_logits(model: EncoderDecoder, source: Tensor) -> Iterator[Tensor]:
    """Yield bools (batch,): whether all logits of a sentence were finite inside this context."""
    finite = torch.ones(len(source), dtype=torch.bool, device=source.device)

    def check(_: nn.Module, __: Any, logits: Tensor) -> None:
        finite.logical_and_(logits.isfinite().flatten(1).all(dim=1))

    handle = model.head.register_forward_hook(check)
    try:
        yield finite
    finally:
        handle.remove()


def chrf_of_samples(samples: Sequence[Sample]) -> tuple[float, str]:
    """Return `chrf` of samples, NaN if a logit was not finite, and sacrebleu's signature."""
    score, signature = chrf([s.predicted for s in samples], [s.expected for s in samples])
    return (score if all(s.finite for s in samples) else math.nan), signature


def chrf(predicted: Sequence[str], expected: Sequence[str]) -> tuple[float, str]:
    """Return corpus chrF2 as sacrebleu computes it, and its signature.

    It has character n-grams up to 6 and beta 2 (Popović 2016, after Popović 2015 with beta 1 and
    3). Spaces are removed first, so sentences that differ only in spaces score 100.
    """
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    score = metric.corpus_score(list(predicted), [list(expected)]).score
    return score, str(metric.get_signature())


@torch.no_grad()
def cross_attention(model: EncoderDecoder, source: Tensor, target: Tensor) -> list[Tensor]:
    """Return the cross-attention weights (batch, n_heads, time, source) of each decoder layer.

    The fused kernel returns no weights. So they are computed again in float32 from the inputs of
    the layers. The model runs in eval mode, because weights after dropout do not sum to 1.
    """
    inputs: list[tuple[Tensor, Tensor]] = []

    def store_inputs(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs.append((args[0], kwargs["memory"]))

    layers: list[Any] = [block.cross for block in model.decoder]
    hooks = [x.register_forward_pre_hook(store_inputs, with_kwargs=True) for x in layers]
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
        for layer, pair in zip(layers, inputs, strict=True)
    ]


def cross_attention_weights(
    attention: Attention, x: Tensor, memory: Tensor, keep: Tensor
) -> Tensor:
    """Return softmax(Q K^T / sqrt(d_head)) over kept keys, (batch, n_heads, time, source)."""
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
    """Return rows of the table `cross_attention`: the weights for the longest sentence of a batch.

    The sentence is decoded greedily; each row is one weight, by layer, head, query and key.
    """
    row = int((batch.inputs[0] != PAD).sum(dim=1).argmax())
    source = batch.inputs[0][row : row + 1]
    source = source[:, source[0] != PAD]
    predicted = translate_greedily(model, source, bos=BOS, eos=EOS, max_length=task.length)
    start = torch.full_like(predicted[:, :1], BOS)
    per_layer = cross_attention(model, source, torch.cat((start, predicted[:, :-1]), dim=1))
    keys = [task.source.tokens[i] for i in source[0].tolist()]
    queries = [task.target.tokens[i] for i in predicted[0].tolist()]
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
