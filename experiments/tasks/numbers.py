"""Translation of English number words to Japanese numerals: each pair has one right answer."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import ClassVar

import numpy as np

from experiments.rules import check_at_least, check_fraction
from experiments.tasks import task
from experiments.tasks.base import Sizes
from experiments.tasks.translation import (
    BYTES_PER_PAIR,
    PairsOptions,
    SentencePair,
    TranslationTask,
)
from runner.config import Evaluation

# The numbers are one fixed set, as if read from a file. A trial's seed chooses batches from it.
DRAW_SEED, LONGER_SEED, TUNING_SEED, LONGER_TUNING_SEED = 2019, 2020, 2021, 2022
HELD_OUT_EVERY = 8  # one number of this many is held out

NEW_WORDS = {3: "thousand", 4: "万", 6: "million", 8: "億"}
"""Number of digits -> the word that first occurs in numbers with one digit more."""


class SourceUnit(StrEnum):
    """The token of a source sentence."""

    word = "word"
    character = "character"


@task("numbers")
@dataclass
class Numbers(PairsOptions):
    """Numbers of up to `digits` digits in English words, to translate into Japanese numerals.

    Each held-out split has `n_eval` numbers. One is from the same distribution as training. Two
    are optional:
    - with `longer`, numbers that have up to `longer` digits more;
    - with `compositional`, numbers with the ten-thousands digit 7, which training then excludes.
    """

    numerals: ClassVar[bool] = True
    has_tuning_data: ClassVar[bool] = True

    digits: int
    longer: int
    compositional: bool
    source_unit: SourceUnit
    n_train: int
    n_eval: int
    label_smoothing: float

    def __post_init__(self) -> None:
        check_at_least(1, n_train=self.n_train, n_eval=self.n_eval)
        check_at_least(0, longer=self.longer)
        check_fraction(label_smoothing=self.label_smoothing)
        if not 3 <= self.digits <= 8:
            raise ValueError(f"digits={self.digits} must lie between 3 and 8")
        for digits, word in NEW_WORDS.items():
            if self.digits <= digits < self.digits + self.longer:
                raise ValueError(
                    f"longer={self.longer} with digits={self.digits} needs {word!r}, which no "
                    f"number of up to {digits} digits has; use longer=1 with digits=5 or digits=7"
                )
        if self.compositional and self.digits < 5:
            raise ValueError(
                f"compositional=true needs ten thousands: digits={self.digits} must be at least 5"
            )
        # Half of the numbers of each side: one number in eight is held out, seven are for training.
        limit = 10**self.digits // 16
        for name, most in (("n_train", 7 * limit), ("n_eval", limit)):
            if getattr(self, name) > most:
                raise ValueError(
                    f"{name}={getattr(self, name)} must be at most {most} with digits={self.digits}"
                )

    def check_tuning(self) -> None:
        """Raise ValueError if the report uses too many of the possible held-out numbers."""
        # Half of the limit without tuning: one number in eight is held out.
        if self.n_eval > (limit := 10**self.digits // 32):
            raise ValueError(
                f"task.n_eval={self.n_eval} leaves too few held-out numbers for tuning. With "
                f"task.digits={self.digits} it must be at most {limit}; or set tune=none"
            )

    def sizes(self) -> Sizes:
        """Return how large the task is, for its training numbers."""
        # A group of three digits has at most 5 words or 31 characters (777). The power of 1000
        # between two groups is one word, or at most 11 characters (" thousand, ").
        n_groups = -(-self.digits // 3)
        words = self.source_unit is SourceUnit.word
        # A Japanese digit is followed by its power of ten, and the last digit by the end mark.
        return Sizes(
            length=2 * self.digits,
            source_length=6 * n_groups - 1 if words else 42 * n_groups - 11,
            n_train=self.n_train,
            n_eval=self.n_eval,
            data_bytes=BYTES_PER_PAIR * (self.n_train + self.n_eval),
        )

    def fingerprint_inputs(self) -> object:
        """Return the version of num2words and the hashes of the code."""
        return [version("num2words"), super().fingerprint_inputs()]

    def build(
        self,
        *,
        seed: int,
        batch_size: int,
        evaluation: Evaluation = Evaluation.report,
        **_: object,
    ) -> "NumbersTask":
        """Return the task."""
        return NumbersTask(self, seed, batch_size, evaluation)


class NumbersTask(TranslationTask):
    """Numbers written out by num2words: English in, Japanese out.

        seven                                                               七
        one thousand, one hundred                                           千百
        eleven thousand and ten                                             一万千十
        one hundred and twenty-three thousand, four hundred and fifty-six   十二万三千四百五十六

    English counts thousands, and Japanese counts 万, ten thousands, so a model has to regroup the
    digits. In num2words' convention 十, 百 and 千 have no 一 before them, but 万 has: 千, 一万.
    Source tokens are words without commas and hyphens (source_unit=word) or all characters
    (source_unit=character). Target tokens are characters.

    Split: a hash decides whether a number is held out, one in eight. `train` and `iid` have the
    same distribution: first the number of digits, uniformly, then the number, without repetition.
    Short numbers run out, so at the default sizes about one number in three has the most digits. If
    fewer numbers are drawn, the share is smaller. Zero is excluded, since its words occur in no
    other number. The options add two splits:

        length          Numbers with more digits than any training number, drawn in the same way.
                        All their words and characters occur in training.
        compositional   Numbers with the ten-thousands digit 7, which no other split then has.
                        Training has 七 in other places, and 万 after the other digits.

    These splits do not change the numbers of the others, except that `compositional` removes its
    own. For tuning, every split except for `train` is drawn again without the report's numbers. Few
    short numbers are left then.
    Fingerprint: options, the version of num2words, and this code.
    """

    def __init__(
        self, options: Numbers, seed: int, batch_size: int, evaluation: Evaluation
    ) -> None:
        self.numbers = draw_numbers(options, evaluation)
        words = options.source_unit is SourceUnit.word
        super().__init__(
            {
                name: [number_pair(n, options.source_unit) for n in part]
                for name, part in self.numbers.items()
            },
            held_out="iid",
            separators=(" " if words else "", ""),
            seed=seed,
            batch_size=batch_size,
            label_smoothing=options.label_smoothing,
        )


def number_pair(number: int, unit: SourceUnit) -> SentencePair:
    """Return the English and the Japanese name of a number."""
    from num2words import num2words

    english = num2words(number, lang="en")
    source = re.findall(r"[a-z]+", english) if unit is SourceUnit.word else english
    return SentencePair(tuple(source), tuple(num2words(number, lang="ja")))


def is_held_out_number(number: int) -> bool:
    """Return whether a number is held out of training by its hash."""
    return hashlib.sha256(str(number).encode()).digest()[0] % HELD_OUT_EVERY == 0


def is_new_combination(number: int) -> bool:
    """Return whether the ten-thousands digit of a number is 7."""
    return number // 10_000 % 10 == 7


def split_of(number: int, options: Numbers) -> str:
    """Return the split to which a number belongs, drawn or not."""
    if options.compositional and is_new_combination(number):
        return "compositional"
    if number >= 10**options.digits:
        return "length"
    return "iid" if is_held_out_number(number) else "train"


def draw_numbers(
    options: Numbers, evaluation: Evaluation = Evaluation.report
) -> dict[str, list[int]]:
    """Return the numbers of each split, in the order in which they were drawn.

    No number is in two splits. For tuning, the held-out splits exclude the report's numbers.
    """
    held_out = {"iid": options.n_eval}
    if options.compositional:
        held_out["compositional"] = options.n_eval
    shorter = range(1, options.digits + 1)
    longer = range(options.digits + 1, options.digits + options.longer + 1)
    length_sizes = {"length": options.n_eval} if options.longer else {}
    sizes = {"train": options.n_train, **held_out}
    # Longer numbers have a generator of their own, so that the option changes no other split.
    splits = draw_splits(sizes, options, digits=shorter, seed=DRAW_SEED)
    splits |= draw_splits(length_sizes, options, digits=longer, seed=LONGER_SEED)
    # Tuning keeps the training numbers and replaces the held-out ones.
    if evaluation is Evaluation.tuning:
        used = frozenset(number for numbers in splits.values() for number in numbers)
        new = draw_splits(held_out, options, digits=shorter, seed=TUNING_SEED, without=used)
        new |= draw_splits(
            length_sizes, options, digits=longer, seed=LONGER_TUNING_SEED, without=used
        )
        splits |= new
    drawn = [number for numbers in splits.values() for number in numbers]
    assert len(set(drawn)) == len(drawn), "a number was drawn twice"
    return splits


def draw_splits(
    sizes: Mapping[str, int],
    options: Numbers,
    *,
    digits: range,
    seed: int,
    without: frozenset[int] = frozenset(),
) -> dict[str, list[int]]:
    """Draw the numbers of each split: first how many digits, uniformly, then the number.

    `sizes` has the size of each split, `digits` the possible numbers of digits, and `without` the
    numbers to exclude.
    """
    rng = np.random.default_rng(seed)
    # The keys of a dict: a set that keeps the order of draws.
    splits: dict[str, dict[int, None]] = {name: {} for name in sizes}
    while any(len(splits[name]) < n for name, n in sizes.items()):
        powers = 10 ** rng.integers(digits.start - 1, digits.stop - 1, size=4096)
        for number in rng.integers(powers, 10 * powers).tolist():
            name = split_of(number, options)
            if name in sizes and number not in without and len(splits[name]) < sizes[name]:
                splits[name][number] = None
    return {name: list(numbers) for name, numbers in splits.items()}
