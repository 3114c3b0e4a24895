"""English number words to Japanese numerals: unlimited pairs, each with one right answer."""

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

# The numbers are one fixed set, as if read from a file: seeds of trials choose batches alone.
DRAW_SEED, LONGER_SEED, TUNING_SEED, LONGER_TUNING_SEED = 2019, 2020, 2021, 2022
HELD_OUT_EVERY = 8  # one number in so many is held out

NEW_WORDS = {3: "thousand", 4: "万", 6: "million", 8: "億"}
"""Digits of a number -> the word that no number of so many digits has, and many with one more."""


class SourceUnit(StrEnum):
    """What a token of a source sentence is."""

    word = "word"
    character = "character"


@task("numbers")
@dataclass
class Numbers(PairsOptions):
    """Numbers of up to `digits` digits in English words, to be written in Japanese.

    Besides those drawn like what is trained on, `n_eval` numbers that have up to `longer` digits
    more, and `n_eval` with 7 ten thousands, which are then never trained on, can be held out.
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
                    f"number of up to {digits} digits has; longer=1 fits digits=5 and digits=7"
                )
        if self.compositional and self.digits < 5:
            raise ValueError(
                f"compositional=true needs ten thousands: digits={self.digits} must be at least 5"
            )
        there = 10**self.digits // 16  # half of those held out, which are one in eight
        for name, most in (("n_train", 7 * there), ("n_eval", there)):
            if getattr(self, name) > most:
                raise ValueError(
                    f"{name}={getattr(self, name)} must be at most {most} with digits={self.digits}"
                )

    def check_tuning(self) -> None:
        """Raise ValueError where the report may use up most of the held-out numbers there are."""
        # Half of the number that the report may have: one in eight is held out.
        if self.n_eval > (most := 10**self.digits // 32):
            raise ValueError(
                f"task.n_eval={self.n_eval} leaves tuning too few held-out numbers that the report "
                f"does not use; with task.digits={self.digits} it must be at most {most}, or type "
                f"tune=none"
            )

    def sizes(self) -> Sizes:
        """Return how large the task is, by the numbers that are learnt from.

        777 has 5 words and 31 characters, and a power of 1000 is at most " thousand, ". A Japanese
        digit has its power beside it; the last one, which has none, has the end mark.
        """
        groups = -(-self.digits // 3)
        words = self.source_unit is SourceUnit.word
        return Sizes(
            length=2 * self.digits,
            source_length=6 * groups - 1 if words else 42 * groups - 11,
            n_train=self.n_train,
            n_eval=self.n_eval,
            data_bytes=BYTES_PER_PAIR * (self.n_train + self.n_eval),
        )

    def fingerprint_inputs(self) -> object:
        """Return what a fingerprint covers: the version of num2words, and the code."""
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
    """Numbers written out by num2words, English in, Japanese out.

        seven                                                               七
        one thousand, one hundred                                           千百
        eleven thousand and ten                                             一万千十
        one hundred and twenty-three thousand, four hundred and fifty-six   十二万三千四百五十六

    English counts thousands and Japanese counts 万, ten thousands, so the groups have to be cut
    anew. Convention (num2words, lang="ja"): no 一 before 十, 百 and 千, but before 万: 一万, 千.
    Source tokens are words without commas and hyphens (source_unit=word) or all characters as they
    stand (character); target tokens are characters.
    Split: a number is held out if its hash says so, one in eight; `train` and `iid` are drawn
    alike, first the number of digits, evenly, then the number, none twice. Short numbers run out,
    so about one in three are of the longest kind at the default sizes, fewer where fewer are drawn.
    Zero is left out, since its words occur in no other number. Two more splits are there where the
    options ask for them:
        length          numbers with more digits than any that is trained on, drawn like them; all
                        their words and characters are known
        compositional   numbers with 7 ten thousands, which are then in no other split: 七 is known
                        elsewhere, and 万 is known after the other digits
    Neither changes what the others draw, but for the numbers that `compositional` takes out. For
    tuning every split but `train` is drawn anew, without the report's numbers; of short ones few
    are then left.
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
    """Return the two names of a number."""
    from num2words import num2words

    english = num2words(number, lang="en")
    source = re.findall(r"[a-z]+", english) if unit is SourceUnit.word else english
    return SentencePair(tuple(source), tuple(num2words(number, lang="ja")))


def is_held_out_number(number: int) -> bool:
    """Tell whether a number is never trained on."""
    return hashlib.sha256(str(number).encode()).digest()[0] % HELD_OUT_EVERY == 0


def is_new_combination(number: int) -> bool:
    """Tell whether a number has 7 ten thousands."""
    return number // 10_000 % 10 == 7


def split_of(number: int, options: Numbers) -> str:
    """Return the split that a number belongs to, whether or not it is drawn."""
    if options.compositional and is_new_combination(number):
        return "compositional"
    if number >= 10**options.digits:
        return "length"
    return "iid" if is_held_out_number(number) else "train"


def draw_numbers(
    options: Numbers, evaluation: Evaluation = Evaluation.report
) -> dict[str, list[int]]:
    """Return the numbers of each split, in the order they were drawn; no number is in two of them.

    For tuning, the held-out splits have none of the report's numbers.
    """
    held_out = {"iid": options.n_eval}
    if options.compositional:
        held_out["compositional"] = options.n_eval
    shorter = range(1, options.digits + 1)
    longer = range(options.digits + 1, options.digits + options.longer + 1)
    above = {"length": options.n_eval} if options.longer else {}
    wanted = {"train": options.n_train, **held_out}
    splits = draw_splits(wanted, options, digits=shorter, seed=DRAW_SEED)
    splits |= draw_splits(above, options, digits=longer, seed=LONGER_SEED)
    if evaluation is Evaluation.tuning:
        used = frozenset(number for part in splits.values() for number in part)
        new = draw_splits(held_out, options, digits=shorter, seed=TUNING_SEED, without=used)
        new |= draw_splits(above, options, digits=longer, seed=LONGER_TUNING_SEED, without=used)
        splits |= new
    drawn = [number for part in splits.values() for number in part]
    assert len(set(drawn)) == len(drawn), "a number was drawn twice"
    return splits


def draw_splits(
    wanted: Mapping[str, int],
    options: Numbers,
    *,
    digits: range,
    seed: int,
    without: frozenset[int] = frozenset(),
) -> dict[str, list[int]]:
    """Draw the `wanted` numbers of each split: first how many `digits`, evenly, then which."""
    source = np.random.default_rng(seed)
    splits: dict[str, dict[int, None]] = {name: {} for name in wanted}
    while any(len(splits[name]) < n for name, n in wanted.items()):
        powers = 10 ** source.integers(digits.start - 1, digits.stop - 1, size=4096)
        for number in source.integers(powers, 10 * powers).tolist():
            name = split_of(number, options)
            if name in wanted and number not in without and len(splits[name]) < wanted[name]:
                splits[name][number] = None
    return {name: list(part) for name, part in splits.items()}
