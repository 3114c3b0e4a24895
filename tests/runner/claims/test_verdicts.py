"""Verdicts: their error rates, and every reason for `invalid`."""

import numpy as np
import pandas as pd
import pytest

from runner.claims.finding import Verdict
from runner.claims.verdicts import judge
from runner.stats.intervals import mean_interval
from tests.support.claim_tables import (
    CONTROLS,
    claim,
    clear_effect,
    judge_values,
    results_table,
    rng,
    trials_table,
)


def replicates(effect, n, count=2000, members=1, seed=0):
    """Return findings of `count` families of claims on normal data with sd 1 of the differences."""
    generator = rng(seed)
    claims, columns = [], {}
    for i in range(count * members):
        metric = f"m{i}"
        claims.append(claim(metric, metric=metric, n=n, family=f"f{i // members}"))
        base = generator.normal(3, 1, n)
        columns["base", metric] = base
        columns["arm", metric] = base + generator.normal(effect, 1, n)
    return judge_values(columns, *claims)


@pytest.fixture
def sound():
    return clear_effect()


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("greater", Verdict.reproduced), ("less", Verdict.contradicted)],
)
def test_a_clear_effect_is_found_with_its_numbers(sound, direction, expected):
    (finding,) = judge_values(sound, claim(direction=direction, **CONTROLS))
    differences = sound["arm", "val/loss"] - sound["base", "val/loss"]
    assert finding.verdict is expected
    assert finding.interval == pytest.approx(mean_interval(differences))
    assert finding.p == finding.p_holm == 2 / 256
    assert finding.n == 8
    assert finding.extra_estimate is None
    mean, low, high, _ = finding.interval
    estimate = f"{mean:+.3g} [{low:.3g}, {high:.3g}]"
    said = f"difference {estimate}, 8 paired seeds, sign-flip p = 0.0078, Holm 0.0078"
    assert str(finding) == f"{expected}: {said}"


def test_nothing_is_inconclusive(sound):
    (finding,) = judge_values(sound, claim(arm="copy"))
    assert finding.verdict is Verdict.inconclusive
    assert finding.interval.low < 0 < finding.interval.high
    assert finding.minimum_detectable_effect > 0


def test_two_planted_effects_are_found_among_six_claims():
    generator = rng(12)
    effects = {"a": 0, "b": 3, "c": 0, "d": -3, "e": 0, "f": 0}
    columns = {("base", "val/loss"): np.zeros(8)}
    for arm, effect in effects.items():
        columns[arm, "val/loss"] = generator.normal(effect, 1, 8)
    columns["b", "val/loss"] = np.abs(columns["b", "val/loss"])
    columns["d", "val/loss"] = -np.abs(columns["d", "val/loss"])
    findings = judge_values(columns, *(claim(arm, arm=arm, family="all") for arm in effects))
    decided = {f.claim.arm: f.verdict for f in findings if f.verdict != Verdict.inconclusive}
    assert decided == {"b": Verdict.reproduced, "d": Verdict.contradicted}
    # 6 * 2 / 256 < 0.05: eight seeds suffice for six claims
    assert next(f for f in findings if f.claim.arm == "b").p_holm == 6 * 2 / 256


def test_interval_and_sign_flip_must_both_pass():
    # One outlier: all signs agree (p = 0.0078), the interval is blown up.
    outlier = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 50]
    (finding,) = judge_values({("base", "val/loss"): np.zeros(8), ("arm", "val/loss"): outlier})
    assert finding.p < 0.05
    assert finding.verdict is Verdict.inconclusive
    # Six differences, one slightly negative: the interval passes, p = 4 / 64 does not.
    coarse = [1, 1.1, 0.9, 1, 1.2, -0.1]
    columns = {("base", "val/loss"): np.zeros(6), ("arm", "val/loss"): coarse}
    (finding,) = judge_values(columns, claim(n=6))
    assert finding.interval.low > 0
    assert finding.p == 4 / 64
    assert finding.verdict is Verdict.inconclusive


@pytest.mark.parametrize("n", [6, pytest.param(8, marks=pytest.mark.slow)])
def test_false_positive_rate_on_a_a_data(n):
    findings = replicates(effect=0, n=n)
    assert np.mean([f.verdict != Verdict.inconclusive for f in findings]) <= 0.05


@pytest.mark.slow
def test_familywise_false_positive_rate_on_a_a_data():
    findings = replicates(effect=0, n=8, count=700, members=4)
    wrong = np.array([f.verdict != Verdict.inconclusive for f in findings]).reshape(700, 4)
    assert wrong.any(axis=1).mean() <= 0.05


@pytest.mark.parametrize("n", [6, pytest.param(8, marks=pytest.mark.slow)])
def test_power_at_the_printed_minimum_detectable_effect(n):
    findings = replicates(effect=0, n=n, count=500, seed=1)
    printed = np.array([f.minimum_detectable_effect for f in findings])
    # sd is 1, so the effect is the printed one for the mean variance
    effect = float(np.sqrt(np.mean(printed**2)))
    reproduced = [
        f.verdict == Verdict.reproduced for f in replicates(effect, n, count=1500, seed=2)
    ]
    assert 0.75 <= np.mean(reproduced) <= 0.85


def test_what_is_detectable_lies_beyond_the_margin():
    columns = {("base", "val/loss"): np.zeros(8), ("arm", "val/loss"): rng(5).normal(0, 1, 8)}
    (plain,) = judge_values(columns)
    (beyond,) = judge_values(columns, claim(margin=0.3))
    assert beyond.minimum_detectable_effect == 0.3 + plain.minimum_detectable_effect


def test_smoke_decides_nothing(sound):
    (finding,) = judge_values(sound, scale="smoke")
    assert str(finding) == "invalid: scale=smoke only checks that everything runs"
    assert finding.interval is None


def drop(columns, key, seeds):
    values = np.array(columns[key], dtype=float)
    values[seeds] = np.nan
    return columns | {key: values}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"arm": "arn"}, "there is no arm 'arn'; did you mean arm?"),
        ({"control": "nothing"}, "there is no arm 'nothing'; there are: arm, base, broken, copy"),
        ({"metric": "val/los"}, "arm 'arm' has no metric 'val/los'; did you mean val/loss?"),
        ({"n": 10}, "too few seeds (8 of 10)"),
        (
            {"n": 5},
            "5 seeds in a family of 1 cannot reach p < 0.05: "
            "the least Holm-corrected sign-flip p is 0.062; use n: 6",
        ),
        (
            {"aa": {"arm": "gone", "control": "base"}},
            "A/A pair: there is no arm 'gone'; there are: arm, base, broken, copy",
        ),
        (
            {"positive_control": CONTROLS["positive_control"] | {"metric": "acc"}},
            "positive control: arm 'broken' has no metric 'acc'; there is only val/loss",
        ),
    ],
)
def test_invalid_for_what_is_not_there(sound, changes, reason):
    (finding,) = judge_values(sound, claim(**CONTROLS | changes))
    assert str(finding) == f"invalid: {reason}"


def test_invalid_when_the_a_a_arms_differ(sound):
    (finding,) = judge_values(
        sound, claim(**CONTROLS | {"aa": {"arm": "broken", "control": "base"}})
    )
    assert str(finding).startswith("invalid: the A/A pair differs: broken - base is +")
    assert finding.interval is not None


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_invalid_when_the_a_a_pair_has_no_spread(sound, shift):
    sound["copy", "val/loss"] = sound["base", "val/loss"] + shift
    (finding,) = judge_values(sound, claim(**CONTROLS))
    assert str(finding).startswith("invalid: the A/A pair has no spread: copy - base is +")


@pytest.mark.parametrize(("arm", "direction"), [("copy", "greater"), ("broken", "less")])
def test_invalid_when_the_positive_control_does_not_separate(sound, arm, direction):
    control = CONTROLS["positive_control"] | {"arm": arm, "direction": direction}
    (finding,) = judge_values(sound, claim(**CONTROLS | {"positive_control": control}))
    assert str(finding).startswith(
        f"invalid: the positive control does not show its difference: val/loss of {arm}"
    )


def test_a_trial_without_the_metric_is_named_and_not_replaced_by_a_later_seed(sound):
    longer = {key: np.append(values, values[-1] + 0.01) for key, values in sound.items()}
    results = results_table(longer)
    results = results[~((results.arm == "arm") & (results.seed == 2))]
    trials = trials_table(results, arm=[(2, "failed")])
    (finding,) = judge([claim()], results, scale="quick", trials=trials)
    assert str(finding) == "invalid: trials without a finite val/loss: arm seed 2 (failed)"
    (finding,) = judge_values(drop(longer, ("base", "val/loss"), [0]), base=[(0, "killed")])
    assert finding.reason == "trials without a finite val/loss: base seed 0 (killed)"
    only = results_table({("base", "val/loss"): np.zeros(8)})
    trials = trials_table(only, arm=[(seed, "failed") for seed in range(8)])
    (finding,) = judge([claim()], only, scale="quick", trials=trials)
    assert finding.reason.startswith("trials without a finite val/loss: arm seed 0 (failed), arm")


def test_a_diverged_trial_counts_with_its_clipped_value(sound):
    sound["arm", "val/loss"][3] = 5.5
    results = results_table(sound)
    (finding,) = judge(
        [claim()],
        results,
        scale="quick",
        trials=trials_table(results, arm=[(3, "diverged")]),
        clipped=pd.DataFrame({"arm": ["arm"], "seed": [3], "metric": ["val/loss"]}),
    )
    assert finding.n == 8
    assert finding.interval.mean == pytest.approx(
        np.mean(sound["arm", "val/loss"] - sound["base", "val/loss"])
    )
    said = "1 value replaces that of a diverged trial: the value before training, or the declared"
    assert f"{said} worst" in finding.reason
    # A measured value of a diverged trial, e.g. from before training, is not a diverged value.
    assert "replace" not in judge_values(sound, arm=[(3, "diverged")])[0].reason


def test_more_seeds_than_n_do_not_change_the_verdict(sound):
    (first,) = judge_values(sound)
    reversal = {key: np.append(values, np.full(30, 3.0)) for key, values in sound.items()}
    reversal["arm", "val/loss"][8:] = -50
    (second,) = judge_values(reversal)
    assert (second.verdict, second.reason) == (first.verdict, first.reason)
    assert second.extra_estimate.n == 38
    assert second.extra_estimate.mean < 0 < second.interval.mean
    (third,) = judge_values(drop(reversal, ("arm", "val/loss"), [20]), arm=[(20, "failed")])
    assert third.verdict is first.verdict
    assert third.extra_estimate is None


def test_order_of_rows_does_not_matter_and_pairs_are_by_seed(sound):
    results = results_table(sound)
    shuffled = results.sample(frac=1, random_state=0)
    findings = [
        judge([claim(**CONTROLS)], rows, scale="quick", trials=trials_table(rows))[0]
        for rows in (results, shuffled)
    ]
    assert findings[0] == findings[1]


def test_an_invalid_claim_still_counts_in_its_family(sound):
    both = (claim("a", family="f"), claim("b", family="f", arm="gone"))
    findings = judge_values(sound, *both)
    assert [f.verdict for f in findings] == [Verdict.reproduced, Verdict.invalid]
    assert findings[0].p_holm == 2 * findings[0].p
    assert judge_values(sound, both[0])[0].p_holm == findings[0].p


def test_seven_claims_at_eight_seeds_are_refused_as_undecidable(sound):
    findings = judge_values(sound, *(claim(f"c{i}", family="f") for i in range(7)))
    assert {f.verdict for f in findings} == {Verdict.invalid}
    assert "8 seeds in a family of 7 cannot reach p < 0.05" in findings[0].reason


def test_a_value_given_twice_is_an_error(sound):
    results = results_table(sound)
    doubled = pd.concat([results, results.iloc[:1]])
    with pytest.raises(ValueError, match="'val/loss' of 'base', seed 0, twice"):
        judge([claim()], doubled, scale="quick", trials=trials_table(results))
