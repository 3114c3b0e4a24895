"""The base class of translation tasks: vocabularies, padding, and batches by (seed, step).

Legend of shapes: batch (pairs); source and time, the tokens of the longest source and of the
longest target of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from experiments.tasks.base import TaskOptions
from experiments.tasks.batch import Batch, Task

if TYPE_CHECKING:
    from torch import Tensor

PAD, BOS, EOS = 0, 1, 2  # PAD equals that of experiments.nn.encoder_decoder, which imports torch
BYTES_PER_PAIR = 400
"""Bytes of a sentence and its translation as Python objects, at least."""
SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>")


@dataclass
class PairsOptions(TaskOptions):
    """Options of a task of sentences and their translations."""

    pairs: ClassVar[bool] = True
    symbols: ClassVar[bool] = True


class SentencePair(NamedTuple):
    """A sentence and its translation, cut into tokens."""

    source: tuple[str, ...]
    target: tuple[str, ...]


class Vocabulary:
    """Tokens and their ids. `separator` joins the tokens of a sentence in `text`."""

    def __init__(self, tokens: Iterable[str], *, separator: str = "") -> None:
        self.tokens = (*SPECIAL_TOKENS, *sorted(set(tokens)))
        self.separator = separator
        self._ids = {token: index for index, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def ids(self, tokens: Sequence[str]) -> list[int]:
        """Return the id of each token.

        Raises:
            ValueError: a token does not occur in the training data.
        """
        unknown = [token for token in tokens if token not in self._ids]
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} does not occur in the training data; give more of them"
            )
        return [self._ids[token] for token in tokens]

    def read(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens before the end mark, without padding."""
        tokens: list[str] = []
        for index in ids:
            if index == EOS:
                break
            if index != PAD:
                tokens.append(self.tokens[index])
        return tokens

    def text(self, ids: Iterable[int]) -> str:
        """Return the sentence of these ids as text."""
        return self.separator.join(self.read(ids))


class TranslationTask(Task):
    """Pairs of sentences: the split `train` for training, and a held-out split for evaluation.

    A batch has:
    - inputs: the source (batch, source), and the target after a start mark (batch, time);
    - target: the target with an end mark (batch, time);
    - keep: True at the tokens of the target and its end mark, which the loss counts;
    - label: the index of the split.
    Sources are padded with `PAD`. The model derives its source mask from it, so that no caller can
    omit the mask.

    The loss is the mean cross-entropy in nats per token. With `label_smoothing` epsilon, training
    uses a target with 1 - epsilon on the right token and epsilon spread over the vocabulary
    (Szegedy et al. 2016, section 7; Vaswani et al. 2017, section 5.4). Evaluation never smooths.
    """

    unit = "nats/token"
    length: int
    numbers: Mapping[str, Sequence[int]] = MappingProxyType({})
    """Split -> the numbers of its sentences, if `numerals` is True."""

    def __init__(
        self,
        splits: Mapping[str, Sequence[SentencePair]],
        *,
        held_out: str,
        separators: tuple[str, str],
        seed: int,
        batch_size: int,
        label_smoothing: float = 0.0,
    ) -> None:
        train = splits["train"]
        train_sources = {pair.source for pair in train}
        for name, pairs in splits.items():
            common = (
                [] if name == "train" else [p.source for p in pairs if p.source in train_sources]
            )
            assert not common, f"in the splits {name} and train: {common[:3]}"
        super().__init__(seed=seed, batch_size=min(batch_size, len(train)))
        # Only tokens of the training data have ids; `ids` raises for others.
        self.source = Vocabulary(
            (t for pair in train for t in pair.source), separator=separators[0]
        )
        self.target = Vocabulary(
            (t for pair in train for t in pair.target), separator=separators[1]
        )
        self.vocabulary = len(self.target)
        self.labels = tuple(splits)
        self.held_out_split, self.label_smoothing = held_out, label_smoothing
        self._data = {
            name: [(self.source.ids(p.source), [*self.target.ids(p.target), EOS]) for p in pairs]
            for name, pairs in splits.items()
        }
        self.length = max(len(target) for part in self._data.values() for _, target in part)

    def batch(self, step: int) -> Batch:
        """Return the training batch of a step.

        Each epoch has a new order. An incomplete batch at its end is dropped.
        """
        train = self._data["train"]
        epoch, index = divmod(step, len(train) // self.batch_size)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(train))
        rows = order[index * self.batch_size : (index + 1) * self.batch_size]
        return replace(self._batch("train", rows.tolist()), label_smoothing=self.label_smoothing)

    def evaluation(self) -> Iterator[Batch]:
        """Yield the sentences of the held-out split, the same for every seed."""
        return self.split(self.held_out_split)

    def split(self, name: str, limit: int | None = None) -> Iterator[Batch]:
        """Yield the first `limit` sentences (None: all) of a split in their fixed order.

        The last batch may be smaller.
        """
        rows = range(len(self._data[name]))[:limit]
        size = max(self.batch_size, 64)
        for first in range(0, len(rows), size):
            yield self._batch(name, rows[first : first + size])

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Return the mean cross-entropy of logits (batch, time, vocabulary) over kept positions.

        Targets are smoothed by `batch.label_smoothing`.
        """
        from torch.nn import functional as F

        return F.cross_entropy(
            prediction[batch.keep],
            batch.target[batch.keep],
            label_smoothing=batch.label_smoothing,
        )

    def _batch(self, name: str, rows: Sequence[int]) -> Batch:
        import torch

        pairs = [self._data[name][row] for row in rows]
        target = pad_sentences([target for _, target in pairs])
        start = torch.full((len(rows), 1), BOS)
        return Batch(
            inputs=(
                pad_sentences([s for s, _ in pairs]),
                torch.cat((start, target[:, :-1]), dim=1),
            ),
            target=target,
            keep=target != PAD,
            label=torch.full((len(rows),), self.labels.index(name)),
        )


def pad_sentences(sentences: Sequence[Sequence[int]]) -> Tensor:
    """Return ids (sentences, tokens of the longest), with PAD after shorter sentences."""
    import torch

    ids = np.full((len(sentences), max(map(len, sentences))), PAD, np.int64)
    for row, sentence in zip(ids, sentences, strict=True):
        row[: len(sentence)] = sentence
    return torch.from_numpy(ids)
