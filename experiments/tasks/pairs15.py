"""The textbook's fifteen pairs of sentences, and held-out sentences, which the textbook lacks."""

import random
from dataclasses import dataclass
from itertools import product

from experiments.rules import check_fraction
from experiments.tasks import task
from experiments.tasks.base import Sizes
from experiments.tasks.translation import (
    BYTES_PER_PAIR,
    PairsOptions,
    SentencePair,
    TranslationTask,
)

ENGLISH = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
JAPANESE = tuple("一二三四五六七八九十")
TRAINED_COMBINATIONS = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))


@task("pairs15")
@dataclass
class Pairs15(PairsOptions):
    """The textbook's fifteen English-Japanese pairs; other combinations of words are held out."""

    label_smoothing: float

    def __post_init__(self) -> None:
        check_fraction(label_smoothing=self.label_smoothing)

    def sizes(self) -> Sizes:
        """Return how large the task is: two words, and in the target an end mark."""
        n_train = len(ENGLISH) + len(TRAINED_COMBINATIONS)
        return Sizes(
            length=3, source_length=2, n_train=n_train, data_bytes=n_train * BYTES_PER_PAIR
        )

    def build(self, *, seed: int, batch_size: int, **_: object) -> "Pairs15Task":
        """Return the task."""
        return Pairs15Task(self, seed, batch_size)


class Pairs15Task(TranslationTask):
    """Translation of number words, word by word.

        train       one -> 一    two -> 二    ... ten -> 十       the ten words, and five of the
                    one two -> 一 二    ...    nine ten -> 九 十  hundred combinations of two words
        held_out    one one -> 一 一    one three -> 一 三   ...  the ninety-five others

    A model can memorise fifteen sentences without learning to translate, so the two splits are
    reported separately. Held-out combinations are hard: in training each word of a combination has
    only one neighbour, and no word is both first and second. While a model becomes confident of the
    memorised sentences, its held-out loss may rise above its initial value.
    Fingerprint: options and this code.
    """

    def __init__(self, options: Pairs15, seed: int, batch_size: int) -> None:
        train = [pair(index) for index in range(len(ENGLISH))] + [
            pair(*two) for two in TRAINED_COMBINATIONS
        ]
        others = [
            two for two in product(range(len(ENGLISH)), repeat=2) if two not in TRAINED_COMBINATIONS
        ]
        random.Random(0).shuffle(others)  # so that the first few are a fair sample
        super().__init__(
            {"train": train, "held_out": [pair(*two) for two in others]},
            held_out="held_out",
            separators=(" ", " "),
            seed=seed,
            batch_size=batch_size,
            label_smoothing=options.label_smoothing,
        )


def pair(*words: int) -> SentencePair:
    """Return the sentence and translation of these words; each is an index from 0."""
    return SentencePair(tuple(ENGLISH[w] for w in words), tuple(JAPANESE[w] for w in words))
