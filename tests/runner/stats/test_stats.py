"""Statistics against hand-worked numbers, scipy, a naive enumeration, and simulation."""

import io
import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from runner.stats.bands import mean_bands
from runner.stats.intervals import (
    binomial_p,
    clopper_pearson,
    fit_slopes,
    half_width,
    holm,
    inside_p,
    mean_interval,
    outside_p,
)
from runner.stats.power import verdict_detectable_effect
from runner.stats.sign_flip import least_sign_flip_p, sign_flip_p, sign_flip_rows


def naive_sign_flip(differences, alternative="two-sided"):
    patterns = itertools.product([1, -1], repeat=len(differences))
    sums = np.array([np.dot(pattern, differences) for pattern in patterns])
    observed = sum(differences)
    if alternative == "two-sided":
        return np.mean(np.abs(sums) >= abs(observed) - 1e-9)
    sign = 1 if alternative == "greater" else -1
    return np.mean(sign * sums >= sign * observed - 1e-9)


def coverage(draw, n, replicates=3000):
    """Return the share of 95 % intervals of samples with mean 0 that contain 0."""
    rows = draw((replicates, n))
    intervals = [mean_interval(row) for row in rows]
    return np.mean([interval.low <= 0 <= interval.high for interval in intervals])


def test_interval_of_one_to_six_matches_the_hand_calculation():
    interval = mean_interval([1, 2, 3, 4, 5, 6])
    # t(0.975, 5) = 2.571, sd = 1.8708: 2.571 * 1.8708 / sqrt(6) = 1.963
    assert interval.mean == 3.5
    assert interval.n == 6
    assert (interval.high - interval.low) / 2 == pytest.approx(1.963, abs=1e-3)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_interval_agrees_with_scipy(confidence):
    rng = np.random.default_rng(1)
    arm, control = rng.normal(size=(2, 8))
    expected = scipy.stats.ttest_rel(arm, control).confidence_interval(confidence)
    interval = mean_interval(arm - control, confidence)
    assert interval[1:3] == pytest.approx((expected.low, expected.high))


def test_half_width_is_elementwise_and_nan_below_two_values():
    halves = half_width(np.array([1.0, 1.0, 2.0]), np.array([1, 6, 6]))
    assert math.isnan(halves[0])
    assert halves[1:] == pytest.approx([2.5706 / 6**0.5, 2 * 2.5706 / 6**0.5], rel=1e-4)


@pytest.mark.parametrize("n", [6, 7, 8, 9, 10])
def test_interval_covers_95_percent_of_normal_differences(n):
    rng = np.random.default_rng(n)
    assert 0.93 <= coverage(rng.standard_normal, n) <= 0.97


@pytest.mark.parametrize("n", [6, 10])
def test_interval_is_not_too_narrow_for_heavy_tails(n):
    rng = np.random.default_rng(n)
    assert 0.94 <= coverage(lambda shape: rng.standard_t(3, shape), n) <= 0.985


def test_sign_flip_of_six_equal_differences():
    assert sign_flip_p([0.3] * 6) == 2 / 64
    assert sign_flip_p([0.3] * 6, "greater") == 1 / 64
    assert sign_flip_p([0.3] * 6, "less") == 1
    assert sign_flip_p([0.0] * 6) == 1
    assert least_sign_flip_p(6) == sign_flip_p([1.0] * 6)
    assert least_sign_flip_p(30) == sign_flip_p([1.0] * 30)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_sign_flip_agrees_with_naive_enumeration_also_with_ties(alternative):
    rng = np.random.default_rng(2)
    samples = [rng.normal(0.5, 1, n) for n in range(1, 10)]
    samples += [rng.integers(-3, 4, 8) / 10 for _ in range(20)]  # tenths: ties parted by rounding
    for sample in samples:
        assert sign_flip_p(sample, alternative) == naive_sign_flip(sample, alternative)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_sign_flip_agrees_with_scipy(alternative):
    sample = np.random.default_rng(3).normal(0.4, 1, 9)
    expected = scipy.stats.permutation_test(
        (sample,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
        alternative=alternative,
    )
    assert sign_flip_p(sample, alternative) == pytest.approx(expected.pvalue)


def test_sign_flip_does_not_depend_on_unit_order_or_zeros():
    sample = np.random.default_rng(4).normal(0.5, 1, 8)
    p = sign_flip_p(sample)
    assert sign_flip_p(sample * 1e-30) == sign_flip_p(sample[::-1] * 1e30) == p
    assert sign_flip_p(np.append(sample, [0, 0])) == sign_flip_p(-sample) == p


def test_sign_flip_rows_are_single_tests_and_blocks_do_not_show():
    rows = np.random.default_rng(5).normal(0.3, 1, (20, 18))  # 2^17 patterns: 16 rows a block
    assert sign_flip_rows(rows).tolist() == [sign_flip_p(row) for row in rows]
    assert sign_flip_rows(rows[:0]).shape == (0,)


def test_sign_flip_above_twenty_is_sampled_repeatable_and_close_to_exact():
    sample = np.random.default_rng(6).normal(0.3, 1, 20)
    exact = sign_flip_p(sample)
    longer = np.append(sample, 0.0)  # a zero keeps the exact p, but makes it 21 values
    sampled = sign_flip_p(longer)
    assert sampled == sign_flip_p(longer)
    # binomial standard error of 20 000 draws, four of them
    assert sampled == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 20_000) ** 0.5)
    assert sign_flip_p([1.0] * 30) == 1 / 20_000


def test_sign_flip_false_positive_rate_stays_below_alpha():
    rows = np.random.default_rng(7).standard_normal((4000, 8))
    for alpha in (0.01, 0.05, 0.1):
        level = math.floor(alpha * 128) / 128  # p moves in steps of 2 / 2^8
        error = 3 * (level * (1 - level) / 4000) ** 0.5
        assert (sign_flip_rows(rows) <= alpha).mean() == pytest.approx(level, abs=error)


def test_holm_by_hand():
    # sorted 0.005 0.01 0.03 0.04 -> x4 x3 x2 x1 = 0.02 0.03 0.06 0.04 -> running maximum
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert holm([0.02]).tolist() == [0.02]
    assert holm([]).tolist() == []


@pytest.mark.parametrize(("n", "family"), [(6, 1), (8, 1), (8, 6), (10, 3), (11, 6)])
def test_verdict_detectable_effect_has_its_power_by_simulation(n, family):
    effect = verdict_detectable_effect(1.0, n, family_size=family)
    rows = np.random.default_rng(8).normal(effect, 1, (2000, n))
    above = rows.mean(axis=1) > half_width(rows.std(axis=1, ddof=1), n)
    power = (above & (family * sign_flip_rows(rows) < 0.05)).mean()
    assert 0.75 <= power <= 0.85


@pytest.mark.parametrize("n", [12, 30])
def test_above_ten_seeds_the_detectable_effect_is_that_of_the_noncentral_t(n):
    effect = verdict_detectable_effect(2.0, n)
    critical = scipy.stats.t.ppf(0.975, n - 1)
    power = scipy.stats.nct.sf(critical, n - 1, effect / 2.0 * n**0.5)
    assert power == pytest.approx(0.8, abs=1e-6)


def test_verdict_detectable_effect_is_infinite_where_the_exact_test_cannot_pass():
    assert verdict_detectable_effect(1.0, 5) == math.inf  # 2 / 2^5 = 0.0625
    assert verdict_detectable_effect(0.0, 8, family_size=7) == math.inf  # 7 * 2 / 2^8 = 0.0547
    assert verdict_detectable_effect(0.0, 8, family_size=6) == 0


def test_clopper_pearson_agrees_with_scipy():
    for k, n in [(0, 8), (1, 8), (5, 8), (8, 8)]:
        expected = scipy.stats.binomtest(k, n).proportion_ci(0.95, method="exact")
        interval = clopper_pearson(k, n)
        assert interval[1:3] == pytest.approx((expected.low, expected.high))
        assert interval.mean == k / n
    # the rule of three, exactly: 1 - 0.025^(1/8)
    assert clopper_pearson(0, 8).high == pytest.approx(1 - 0.025 ** (1 / 8))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
def test_clopper_pearson_covers_at_least_95_percent_whatever_the_share(share):
    covered = [
        interval.low <= share <= interval.high
        for interval in (clopper_pearson(k, 8) for k in range(9))
    ]
    chances = scipy.stats.binom.pmf(range(9), 8, share)  # exact: no simulation is needed
    assert chances[covered].sum() >= 0.95


def test_binomial_p_agrees_with_scipy_and_with_clopper_pearson():
    for k in range(9):
        for way in ("greater", "less"):
            expected = scipy.stats.binomtest(k, 8, 0.3, alternative=way).pvalue
            assert binomial_p(k, 8, 0.3, way) == pytest.approx(expected)
        interval = clopper_pearson(k, 8)
        assert (interval.low > 0.3) == (2 * binomial_p(k, 8, 0.3, "greater") < 0.05)
        assert (interval.high < 0.3) == (2 * binomial_p(k, 8, 0.3, "less") < 0.05)


def test_inside_p_is_the_interval_inside_the_band_and_agrees_with_scipy():
    sample = np.random.default_rng(9).normal(0.05, 0.2, 8)
    low, high = mean_interval(sample, 0.9)[1:3]
    edge = max(-low, high)
    for delta in (0.9 * edge, 1.1 * edge):
        above = scipy.stats.ttest_1samp(sample, -delta, alternative="greater").pvalue
        below = scipy.stats.ttest_1samp(sample, delta, alternative="less").pvalue
        p = inside_p(sample, -delta, delta)
        assert p == pytest.approx(max(above, below))
        assert (p < 0.05) == (delta > edge)
    assert inside_p([0.1] * 4, -0.2, 0.2) == 0
    assert inside_p([0.3] * 4, -0.2, 0.2) == 1


def test_outside_p_is_the_interval_outside_the_band():
    sample = np.random.default_rng(9).normal(1, 0.2, 8)
    interval = mean_interval(sample)
    for high in (0.99 * interval.low, 1.01 * interval.low):
        assert (2 * outside_p(sample, -1, high) < 0.05) == (high < interval.low)
    assert outside_p(-sample, -0.5, 1) == pytest.approx(outside_p(sample, -1, 0.5))
    assert outside_p([0.3] * 4, -0.2, 0.2) == 0
    assert outside_p([0.1] * 4, -0.2, 0.2) == 1


@pytest.mark.parametrize("n", [6, 8])
def test_tost_and_contradiction_have_their_nominal_level_at_the_margin(n):
    rows = np.random.default_rng(n).normal(1, 0.3, (4000, n))  # the true difference is delta = 1
    equal = np.mean([inside_p(row, -1, 1) < 0.05 for row in rows])
    unequal = np.mean([2 * outside_p(row, -1, 1) < 0.05 for row in rows])
    error = 3 * (0.05 * 0.95 / 4000) ** 0.5
    assert equal == pytest.approx(0.05, abs=error)
    assert unequal == pytest.approx(0.025, abs=error)


def test_slopes_are_a_least_squares_fit_for_each_seed():
    rng = np.random.default_rng(10)
    x = np.log([4, 8, 16, 32])
    y = -0.5 * x + rng.normal(0, 0.1, (8, 4)) + rng.normal(0, 5, (8, 1))
    assert fit_slopes(x, y) == pytest.approx([scipy.stats.linregress(x, row).slope for row in y])


def test_the_interval_of_slopes_covers_the_true_exponent():
    rng = np.random.default_rng(11)
    x = np.log([4, 8, 16, 32])
    noise = rng.normal(0, 0.1, (2000, 8, 4)) + rng.normal(0, 1, (2000, 8, 1))
    intervals = [mean_interval(fit_slopes(x, -0.5 * x + study)) for study in noise]
    covered = np.mean([i.low <= -0.5 <= i.high for i in intervals])
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean_interval([1.0]),
        lambda: mean_interval([1.0, math.nan]),
        lambda: mean_interval([1.0, math.inf]),
        lambda: mean_interval([[1.0, 2.0]]),
        lambda: mean_interval([1.0, 2.0], confidence=95),
        lambda: sign_flip_p([]),
        lambda: sign_flip_p([1.0, math.nan]),
        lambda: sign_flip_p([1.0, 2.0], "bigger"),
        lambda: sign_flip_rows(np.array([[1.0, math.inf]])),
        lambda: holm([0.1, math.nan]),
        lambda: holm([1.1]),
        lambda: verdict_detectable_effect(math.nan, 8),
        lambda: verdict_detectable_effect(1.0, 1),
        lambda: verdict_detectable_effect(1.0, 12, power=80),
        lambda: clopper_pearson(9, 8),
        lambda: binomial_p(9, 8, 0.5, "greater"),
        lambda: binomial_p(1, 8, 1.0, "greater"),
        lambda: inside_p([1.0, 2.0], 1.0, -1.0),
        lambda: inside_p([1.0], -1.0, 1.0),
        lambda: outside_p([1.0, 2.0], 0.0, math.inf),
        lambda: fit_slopes([1.0, 1.0], [[1.0, 2.0], [1.0, 2.0]]),
        lambda: fit_slopes([1.0, 2.0], [[1.0, 2.0, 3.0]]),
    ],
)
def test_what_cannot_be_answered_is_a_value_error(call):
    with pytest.raises(ValueError):  # noqa: PT011 - twenty messages, one rule
        call()


def test_no_curves_at_all_have_no_bands():
    # A file with only a header is read as a table of objects.
    rows = pd.read_csv(io.StringIO("arm,seed,step,metric,value\n"))
    assert mean_bands(rows, ["metric", "step"]).empty
