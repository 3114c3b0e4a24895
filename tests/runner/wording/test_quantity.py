"""Quantities have units that a person reads; sentences have amounts."""

import math

import pytest

from runner.wording.names import format_count
from runner.wording.phrases import capitalise, count_range, join_with_and
from runner.wording.quantity import (
    NO_VALUE,
    SHARE,
    DisplayUnit,
    display_unit,
    format_amount,
    format_level,
    format_mean,
    format_quantity,
)

NAN = math.nan


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (-138_280_960.0, "bytes", "-131.9 MiB"),
        (2.0**20, "bytes", "1 MiB"),
        (512.0, "bytes", "512 bytes"),
        (2048.0, "MiB", "2 GiB"),
        (0.0449, "s", "44.90 ms"),
        (0.5, "ms", "500 µs"),
        (492.0, "s", "8.200 min"),
        (7200.0, "s", "2 h"),
        (1_234_567.0, "1", "1.235 M"),
        (292_480.0, "1", "292,480"),
        (292_480.0, "parameters", "292,480 parameters"),
        (1_500_000.0, "parameters", "1.500 M parameters"),
        (2.1e9, "FLOP", "2.100 GFLOP"),
        (3.0, "nats/byte", "3 nats/byte"),
        (48_000.0, "tokens/s", "48,000 tokens/s"),
        (0.25, "1", "0.2500"),
        (0.0, "bytes", "0 bytes"),
        (None, "bytes", NO_VALUE),
        (NAN, "ms", NO_VALUE),
    ],
)
def test_a_quantity_has_a_readable_unit(value: float | None, unit: str, text: str) -> None:
    assert format_quantity(value, unit) == text


def test_values_of_a_column_share_a_unit() -> None:
    assert display_unit("bytes", [2.0**22, 2.0**25]) == DisplayUnit("MiB", 2.0**20)
    assert display_unit("bytes", [2.0**19, 2.0**22]) == DisplayUnit("MiB", 2.0**20)
    assert display_unit("bytes", [2.0**13, 2.0**30]).name == "KiB"  # 8 KiB would be 0.0 MiB
    assert display_unit("s", [0.02, 0.04]) == DisplayUnit("ms", 1e-3)
    assert display_unit("bytes", []) == DisplayUnit("bytes", 1.0)
    assert display_unit("bytes", [0.0, NAN]) == DisplayUnit("bytes", 1.0)
    assert display_unit("as recorded", [5.0]) == DisplayUnit("as recorded", 1.0)


def test_a_mean_is_scaled_with_its_interval() -> None:
    unit = display_unit("bytes", [2.0**22])
    assert format_mean(2.0**22, NAN, NAN, 8, display=unit) == "4 (exact)"
    assert format_mean(2.0**22, NAN, NAN, 8, display=unit, marks_exact=False) == "4"
    text = format_mean(-(2.0**21), -(2.0**22), -(2.0**20), 8, is_difference=True, display=unit)
    assert text == "-2 [-4, -1]"


@pytest.mark.parametrize(
    ("mean", "low", "high", "text"),
    [
        (-0.01557, -0.02404, -0.00709, "0.016 [0.007, 0.024]"),
        (0.01557, 0.00709, 0.02404, "0.016 [0.007, 0.024]"),
        (0.871, 0.863, 0.879, "0.871 [0.863, 0.879]"),
        (0.016, 0.0004, 0.0316, "0.0160 [0.0004, 0.0316]"),
        (-0.005, -0.013, 0.003, "0.005 [-0.003, 0.013]"),
        (1.28, 1.16, 1.41, "1.28 [1.16, 1.41]"),
        (2.5e-9, 1e-9, 4e-9, "2.5e-09 [1.0e-09, 4.0e-09]"),
        (256.0, NAN, NAN, "256"),
        (-256.0, NAN, NAN, "256"),
        (0.25, NAN, NAN, "0.25"),
        (0.3, 0.29999999999999993, 0.30000000000000004, "0.300"),
        (-1234.5, -1234.5000001, -1234.4999999, "1,234"),
        (256.0, 256.0, 256.0, "256"),
        (0.0, 0.0, 0.0, "0"),
        (0.02, 0.0, 0.045, "0.020 [0.000, 0.045]"),
        (NAN, NAN, NAN, NO_VALUE),
    ],
)
def test_an_amount_is_positive_and_its_interval_turns_with_it(
    mean: float, low: float, high: float, text: str
) -> None:
    assert format_amount(mean, low, high) == text


def test_an_amount_has_its_unit_after_the_number() -> None:
    unit = display_unit("bytes", [2.0**22])
    assert format_amount(-(2.0**21), NAN, NAN, unit) == "2 MiB"
    assert format_amount(0.0156, 0.007, 0.024, DisplayUnit("nats")) == "0.016 nats [0.007, 0.024]"


def test_counts_and_lists_are_grammatical() -> None:
    assert [format_count(n, "arm") for n in (1, 2)] == ["1 arm", "2 arms"]
    assert count_range([8, 4], "seed") == "4 to 8 seeds"
    assert count_range([1], "seed") == "1 seed"
    assert [join_with_and(list(text)) for text in ("", "a", "ab", "abc")] == [
        *("", "a", "a and b"),
        "a, b and c",
    ]
    assert capitalise("held-out loss") == "Held-out loss"
    assert capitalise("val/loss, by layer") == "val/loss, by layer"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.03509, 0.01122, 0.05895), "3.5 % [1.1, 5.9]"),
        ((1.0, math.nan, math.nan), "100 %"),
        ((-0.461, -0.495, -0.427), "-46 % [-50, -43]"),
        ((-0.02, -0.05, 0.01), "-2 % [-5, 1]"),
        ((NAN, NAN, NAN), NO_VALUE),
    ],
)
def test_a_level_is_rounded_as_a_difference_and_keeps_its_sign(numbers, text: str):
    assert format_level(*numbers, display_unit(SHARE, [numbers[0]])) == text
