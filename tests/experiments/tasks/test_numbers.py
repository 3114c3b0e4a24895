"""The task `numbers`: words of num2words are parsed back, splits are disjoint, batches are pure."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from experiments.nn import encoder_decoder
from experiments.tasks.numbers import (
    NEW_WORDS,
    Numbers,
    NumbersTask,
    SourceUnit,
    draw_numbers,
    is_held_out_number,
    number_pair,
)
from experiments.tasks.translation import BOS, EOS, PAD, TranslationTask

NAMES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen"""
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
SMALL = {word: value for value, word in enumerate(NAMES.split())} | {
    word: 10 * value for value, word in enumerate(TENS.split(), start=2)
}
DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")}


def options(**changes: object) -> Numbers:
    values = {"kind": "numbers", "digits": 6, "longer": 0, "compositional": False}
    values |= {"source_unit": SourceUnit.word, "n_train": 600, "n_eval": 60, "label_smoothing": 0.0}
    return Numbers(**(values | changes))  # type: ignore[arg-type]


def build(seed: int = 0, batch_size: int = 32, **changes: object) -> NumbersTask:
    numbers_task = options(**changes).build(seed=seed, batch_size=batch_size, cache=Path())
    assert isinstance(numbers_task, NumbersTask)
    return numbers_task


@pytest.fixture(scope="module")
def task() -> NumbersTask:
    return build()


def read_english(words: tuple[str, ...]) -> int:
    """Return the integer of English number words without hyphens and commas."""
    total = group = 0
    for word in words:
        if word == "hundred":
            group *= 100
        elif word in ("thousand", "million"):
            total, group = total + group * {"thousand": 10**3, "million": 10**6}[word], 0
        elif word != "and":
            group += SMALL[word]
    return total + group


def read_japanese(text: tuple[str, ...]) -> int:
    """Return the integer of a Japanese numeral; a power without a digit before it counts once."""
    total = group = digit = 0
    for character in text:
        if character in DIGITS:
            digit = DIGITS[character]
        elif character == "万":
            total, group, digit = total + (group + digit) * 10**4, 0, 0
        else:
            group, digit = group + (digit or 1) * {"十": 10, "百": 100, "千": 1000}[character], 0
    return total + group + digit


def test_both_names_are_parsed_back_to_the_number() -> None:
    edges = [10**power + more for power in range(8) for more in (-1, 0, 1)]
    random = np.random.default_rng(0).integers(10 ** np.repeat(np.arange(1, 9), 300)).tolist()
    for number in {*edges, *range(300), *random}:
        pair = number_pair(number, SourceUnit.word)
        assert read_english(pair.source) == number
        assert read_japanese(pair.target) == number


@pytest.mark.parametrize(
    ("number", "japanese"),
    [
        (10, "十"),
        (100, "百"),
        (1000, "千"),
        (1100, "千百"),
        (10_000, "一万"),
        (11_010, "一万千十"),
        (100_000, "十万"),
        (110_000, "十一万"),
        (123_456, "十二万三千四百五十六"),
        (10_000_000, "千万"),
    ],
)
def test_the_convention_for_one(number: int, japanese: str) -> None:
    assert "".join(number_pair(number, SourceUnit.word).target) == japanese


def test_a_source_is_words_or_all_characters() -> None:
    assert " ".join(number_pair(1021, SourceUnit.word).source) == "one thousand and twenty one"
    assert "".join(number_pair(1021, SourceUnit.character).source) == "one thousand and twenty-one"


@pytest.mark.parametrize("digits", [3, 6])
def test_splits_are_disjoint_distinct_and_of_the_size_asked_for(digits: int) -> None:
    splits = draw_numbers(options(digits=digits, n_train=400, n_eval=50))
    assert {name: len(part) for name, part in splits.items()} == {"train": 400, "iid": 50}
    assert all(len(set(part)) == len(part) for part in splits.values())
    assert not set(splits["train"]) & set(splits["iid"])
    assert all(map(is_held_out_number, splits["iid"]))
    assert not any(map(is_held_out_number, splits["train"]))
    assert min(map(min, splits.values())) >= 1
    lengths = {len(str(n)) for n in splits["train"]}
    assert lengths == set(range(1, digits + 1))


def test_trained_and_held_out_numbers_are_drawn_alike() -> None:
    splits = draw_numbers(options(n_train=6000, n_eval=800))
    longest = [np.mean([n >= 10**5 for n in part]) for part in splits.values()]
    assert abs(longest[0] - longest[1]) < 0.1
    leading = np.array([int(str(n)[0]) for n in splits["iid"] if n >= 10**5])
    assert np.bincount(leading, minlength=10)[1:].min() > 0.25 * len(leading) / 9


@pytest.mark.parametrize("unit", list(SourceUnit))
@pytest.mark.parametrize("digits", [5, 7])
def test_longer_and_new_combinations_leave_the_other_numbers_as_they_are(
    unit: SourceUnit, digits: int
) -> None:
    plain = draw_numbers(options(digits=digits, n_eval=200, source_unit=unit))
    longer = draw_numbers(options(digits=digits, n_eval=200, source_unit=unit, longer=1))
    assert {name: longer[name] for name in plain} == plain
    assert set(longer) - set(plain) == {"length"}
    assert {len(str(n)) for n in longer["length"]} == {digits + 1}
    both = draw_numbers(
        options(digits=digits, n_eval=200, source_unit=unit, longer=1, compositional=True)
    )
    assert list(both) == ["train", "iid", "compositional", "length"]
    assert all("7" not in ten_thousands(n) for name in both for n in both[name] if name[0] != "c")
    assert all(ten_thousands(n) == "7" for n in both["compositional"])
    drawn = [n for part in both.values() for n in part]
    assert len(set(drawn)) == len(drawn) == 600 + 3 * 200


def ten_thousands(number: int) -> str:
    """Return the fifth digit from the right; "" if there is none."""
    return str(number)[-5:-4]


@pytest.mark.some(2)
@pytest.mark.parametrize("unit", list(SourceUnit))
@pytest.mark.parametrize(
    ("digits", "longer"),
    [(5, 1), (6, 0), *(pytest.param(*x, marks=pytest.mark.slow) for x in [(7, 1), (8, 0)])],
)
def test_every_held_out_token_is_trained_on(unit: SourceUnit, digits: int, longer: int) -> None:
    task = build(
        digits=digits, longer=longer, compositional=True, source_unit=unit, n_train=2000, n_eval=300
    )
    for name in ("source", "target"):
        tokens = {
            split: {token for n in part for token in getattr(number_pair(n, unit), name)}
            for split, part in task.numbers.items()
        }
        for split, asked in tokens.items():
            assert asked <= tokens["train"], split


def test_a_token_that_is_not_trained_on_is_refused(task: NumbersTask) -> None:
    with pytest.raises(ValueError, match="'zero' does not occur in the training data"):
        task.source.ids(["zero"])


def test_a_batch_is_a_function_of_seed_and_step(task: NumbersTask) -> None:
    first, same, other = task.batch(7), build().batch(7), build(seed=1).batch(7)
    assert torch.equal(first.target, same.target)
    assert not torch.equal(first.inputs[0], task.batch(8).inputs[0])
    assert first.target.shape != other.target.shape or not torch.equal(first.target, other.target)
    for one, two in zip(task.evaluation(), build(seed=1).evaluation(), strict=True):
        assert torch.equal(one.inputs[0], two.inputs[0])


def test_an_epoch_shows_each_number_once(task: NumbersTask) -> None:
    steps = 600 // 32
    rows = [row for step in range(steps) for row in task.batch(step).inputs[0].tolist()]
    texts = {task.source.text(row) for row in rows}
    assert len(texts) == len(rows) == 32 * steps


def test_a_batch_is_a_shifted_target_with_marks_and_padding(task: NumbersTask) -> None:
    for batch in (task.batch(0), *task.evaluation()):
        source, decoder_input = batch.inputs
        assert (decoder_input[:, 0] == BOS).all()
        assert torch.equal(
            decoder_input[:, 1:][batch.keep[:, 1:]], batch.target[:, :-1][batch.keep[:, 1:]]
        )
        assert torch.equal(batch.keep, batch.target != PAD)
        assert ((batch.target == EOS).sum(dim=1) == 1).all()
        assert batch.target.shape[1] <= task.length <= options().sizes().length
        assert source.shape[1] <= options().sizes().source_length
        for row, target in zip(source.tolist(), batch.target.tolist(), strict=True):
            english = tuple(task.source.text(row).split())
            assert read_english(english) == read_japanese(tuple(task.target.text(target)))


def test_longer_numbers_are_parsed_back_and_fit_into_a_decoding() -> None:
    task = build(digits=5, longer=1, compositional=True)
    assert task.labels == ("train", "iid", "compositional", "length")
    longest = 0
    for split in ("compositional", "length"):
        pairs = [
            (task.source.text(source), task.target.text(target))
            for batch in task.split(split)
            for source, target in zip(batch.inputs[0].tolist(), batch.target.tolist(), strict=True)
        ]
        numbers = [read_english(tuple(source.split())) for source, _ in pairs]
        assert numbers == [read_japanese(tuple(target)) for _, target in pairs]
        assert numbers == task.numbers[split]
        longest = max(longest, *(len(target) + 1 for _, target in pairs))
    assert longest == task.length  # the longest decoding, end mark included
    assert longest > max(task.batch(step).target.shape[1] for step in range(600 // 32))


def test_a_split_that_is_trained_on_is_a_fault() -> None:
    pair = number_pair(12, SourceUnit.word)
    splits = {"train": [pair], "iid": [number_pair(2, SourceUnit.word)], "length": [pair]}
    with pytest.raises(AssertionError, match="in the splits length and train:"):
        TranslationTask(splits, held_out="iid", separators=(" ", ""), seed=0, batch_size=1)


@pytest.mark.slow
def test_new_words_are_those_that_one_digit_more_brings() -> None:
    """The rule that refuses `longer`, against the words of num2words."""
    for digits in range(3, 9):
        few, more = (
            {token for n in sample(d) for side in number_pair(n, SourceUnit.word) for token in side}
            for d in (digits, digits + 1)
        )
        assert more - few >= ({NEW_WORDS[digits]} if digits in NEW_WORDS else set())
        assert bool(more - few) == (digits in NEW_WORDS)


def sample(digits: int) -> list[int]:
    """Return numbers of up to `digits` digits that contain all words."""
    powers = 10 ** np.repeat(np.arange(digits), 300)
    return np.random.default_rng(0).integers(powers, 10 * powers).tolist()


def test_the_loss_is_over_kept_positions(task: NumbersTask) -> None:
    batch = task.batch(0)
    logits = torch.randn(*batch.target.shape, len(task.target))
    by_hand = F.cross_entropy(logits.flatten(0, 1), batch.target.flatten(), ignore_index=PAD)
    torch.testing.assert_close(task.loss(logits, batch), by_hand)


@pytest.mark.parametrize("unit", list(SourceUnit))
@pytest.mark.parametrize("digits", [3, 6, 8])
def test_lengths_of_the_options_bound_the_longest_number(unit: SourceUnit, digits: int) -> None:
    asked = options(digits=digits, source_unit=unit, n_train=100)
    for number in (int("777777777"[:digits]), int("373737373"[:digits]), 10**digits - 1):
        pair = number_pair(number, unit)
        assert len(pair.source) <= asked.sizes().source_length
        assert len(pair.target) + 1 <= asked.sizes().length


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"digits": 2}, "digits=2"),
        ({"n_eval": 0}, "n_eval=0"),
        ({"longer": -1}, "longer=-1"),
        ({"longer": 1}, "longer=1 with digits=6 needs 'million'"),
        ({"digits": 3, "longer": 1, "n_train": 90}, "needs 'thousand'"),
        ({"digits": 4, "longer": 1}, "needs '万'"),
        ({"digits": 7, "longer": 2}, "longer=2 with digits=7 needs '億'"),
        ({"digits": 4, "compositional": True}, "compositional=true needs ten thousands"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0 must lie in"),
        ({"digits": 3, "n_train": 500}, "n_train=500 must be at most 434"),
    ],
)
def test_bad_options_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        options(**changes)


def test_padding_is_what_the_model_takes_for_it() -> None:
    assert PAD == encoder_decoder.PAD
