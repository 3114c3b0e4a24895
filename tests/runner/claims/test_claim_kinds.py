"""Every kind of claim: planted answers are detected, and errors say what is wrong."""

import numpy as np
import pytest

from runner.claims.finding import Verdict
from runner.claims.kinds import KINDS
from tests.support.claim_tables import (
    CLAIM_BUILDERS,
    claim,
    diverged_trials,
    equivalence,
    exact,
    failure_rate,
    judge_values,
    paired_values,
    power_law_values,
    slope,
    values_with_sd,
)


def within(shift, **changes):
    """Return a claim that one metric of an arm is above another, and records to judge it."""
    columns = paired_values(values_with_sd(8, 0.3))
    for arm in ("arm", "base"):
        columns[arm, "val/start"] = columns[arm, "val/loss"] - shift + values_with_sd(8, 0.05)
    return columns, claim(control=None, other="val/start", **changes)


def test_a_difference_of_two_metrics_of_one_arm():
    columns, asked = within(0.5, margin=0.3)
    (finding,) = judge_values(columns, asked)
    assert finding.verdict is Verdict.reproduced
    assert finding.interval.mean == pytest.approx(0.5)
    assert finding.claim.estimate_label == "arm: val/loss minus val/start"
    assert judge_values(*within(0.5, direction="less"))[0].verdict is Verdict.contradicted
    assert judge_values(*within(0.2, margin=0.2))[0].verdict is Verdict.inconclusive


def test_the_a_a_pair_of_such_a_difference_must_agree_on_it():
    columns, asked = within(0.5, aa={"arm": "base", "control": "arm"})
    wide, less = ("base", "val/start"), np.array([1.0, 2, 3, 1, 2, 3, 1, 2])
    (finding,) = judge_values(columns | {wide: columns[wide] - less}, asked)
    assert finding.reason.startswith("the A/A pair differs: base - arm is +1.88")
    columns["base", "val/loss"] += 9  # both sides equally
    (finding,) = judge_values(
        columns | {wide: columns[wide] + 9 + 0.1 * values_with_sd(8)[::-1]}, asked
    )
    assert finding.verdict is Verdict.reproduced


def test_every_kind_is_tried_here():
    assert set(CLAIM_BUILDERS) == set(KINDS)


@pytest.mark.parametrize(
    ("shift", "expected"),
    [(0.0, Verdict.reproduced), (0.09, Verdict.inconclusive), (0.2, Verdict.contradicted)],
)
def test_equivalence_is_tost_and_no_large_p(shift, expected):
    # 90 % half-width: t(0.95, 7) x 0.05 / sqrt(8) = 0.0335, so 0.09 +- 0.0335 crosses the margin
    (finding,) = judge_values(paired_values(shift + values_with_sd(8, 0.05)), equivalence())
    assert finding.verdict is expected
    assert finding.interval.high - finding.interval.mean == pytest.approx(0.0335, abs=1e-4)
    assert "margin ±0.1" in finding.reason


def test_a_noisy_pair_without_difference_is_not_called_equal():
    (finding,) = judge_values(paired_values(values_with_sd(8)), equivalence())
    assert finding.verdict is Verdict.inconclusive


def test_the_smallest_margin_is_printed_and_just_suffices():
    columns = paired_values(0.02 + values_with_sd(8, 0.05))
    edge = judge_values(columns, equivalence())[0].minimum_detectable_effect
    for delta, expected in ((1.01, Verdict.reproduced), (0.99, Verdict.inconclusive)):
        assert judge_values(columns, equivalence(delta=delta * edge))[0].verdict is expected
    family = [equivalence("a", family="f"), equivalence("b", family="f", delta=1e-6)]
    edge = judge_values(columns, *family)[0].minimum_detectable_effect
    for delta, expected in ((1.01, Verdict.reproduced), (0.99, Verdict.inconclusive)):
        family[0] = equivalence("a", family="f", delta=delta * edge)
        assert judge_values(columns, *family)[0].verdict is expected


def test_margins_from_the_control_and_from_the_a_a_pair():
    columns = paired_values(0.1 + values_with_sd(8, 0.05))
    mean = columns["base", "val/loss"].mean()  # 3.5: 5 % are 0.175
    (finding,) = judge_values(columns, equivalence(delta=None, delta_share=0.05))
    assert f"margin ±{0.05 * mean:.3g}" in finding.reason
    assert finding.verdict is Verdict.reproduced
    columns["copy", "val/loss"] = columns["base", "val/loss"] + values_with_sd(8, 0.08)
    same = {"arm": "copy", "control": "base"}
    (finding,) = judge_values(columns, equivalence(delta=None, delta_aa=3, aa=same))
    assert "margin ±0.24" in finding.reason
    assert finding.verdict is Verdict.reproduced


@pytest.mark.parametrize(
    ("exponent", "noise", "expected"),
    [
        (-0.5, 0.05, Verdict.reproduced),
        (0.0, 0.05, Verdict.contradicted),
        (-0.6, 0.05, Verdict.inconclusive),
        (-0.5, 0.6, Verdict.inconclusive),
        (-0.5, 0.0, Verdict.reproduced),
    ],
)
def test_a_slope_is_in_its_band_outside_or_neither(exponent, noise, expected):
    (finding,) = judge_values(power_law_values("arm", exponent, noise), slope())
    assert finding.verdict is expected
    low, high = finding.interval[1:3]
    assert finding.minimum_detectable_effect == pytest.approx((high - low) / 2)


def test_a_slope_without_logarithms_and_of_numbers_that_never_vary():
    columns = {("arm", f"bytes/n{n}"): np.full(8, 7.0 * n) for n in (1, 2, 3)}
    (finding,) = judge_values(
        columns, slope(metric="bytes/n{n}", x="n", log="none", band=[6.9, 7.1])
    )
    assert finding.verdict is Verdict.reproduced
    (finding,) = judge_values(columns, slope(metric="bytes/n{n}", x="n", band=[1.9, 2.1]))
    assert finding.verdict is Verdict.contradicted


def test_the_control_of_a_slope_must_show_the_other_answer():
    control = {"arm": "post", "band": [-0.1, 0.1]}
    columns = power_law_values("arm", -0.5, 0.05) | power_law_values("post", 0.0, 0.05, seed=1)
    (finding,) = judge_values(columns, slope(control=control))
    assert finding.verdict is Verdict.reproduced
    assert finding.others["control post"].mean == pytest.approx(0, abs=0.1)
    columns |= power_law_values("post", -0.5, 0.05, seed=1)
    (finding,) = judge_values(columns, slope(control=control))
    assert str(finding).startswith("invalid: control: slope of post is -0.")
    assert finding.interval is not None


def test_a_slope_needs_numbers_and_levels():
    columns = {("arm", f"grad/depth{d}"): values_with_sd(8) for d in (4, 8, 16)}
    columns |= {("two", f"grad/depth{d}"): np.ones(8) for d in (4, 8)}
    columns |= {("word", f"grad/depth{d}"): np.ones(8) for d in "abc"}
    reasons = [
        judge_values(columns, slope(arm=arm))[0].reason for arm in ("arm", "two", "word", "no")
    ]
    assert "a logarithm of grad/depth{depth} needs values above 0, got -" in reasons[0]
    assert reasons[1] == "arm 'two' has only depth 4, 8; a slope needs 3 levels"
    assert reasons[2] == "'grad/deptha': depth is not a number"
    assert reasons[3].startswith("there is no arm 'no'")
    (finding,) = judge_values(columns, slope(metric="norm/{depth}"))
    assert finding.reason == "arm 'arm' has no metric like 'norm/{depth}'"


def test_a_kind_that_is_gone_names_the_other():
    with pytest.raises(
        ValueError, match="kind trend was removed; write a claim of kind difference"
    ):
        claim(kind="trend")


@pytest.mark.parametrize(
    ("bound", "k", "expected"),
    [
        # Clopper-Pearson of 8 in 8 is [0.63, 1], of 6 in 8 [0.35, 0.97], of 0 in 8 [0, 0.37]
        ({"at_least": 0.6}, 8, Verdict.reproduced),
        ({"at_least": 0.6}, 7, Verdict.inconclusive),
        ({"at_least": 0.4}, 6, Verdict.inconclusive),
        ({"at_least": 0.4}, 0, Verdict.contradicted),
        ({"at_most": 0.4}, 0, Verdict.reproduced),
        ({"at_most": 0.5}, 8, Verdict.contradicted),
    ],
)
def test_a_failure_rate_is_beside_its_bound(bound, k, expected):
    (finding,) = judge_values(
        paired_values(values_with_sd(8)), failure_rate(**bound), **diverged_trials(k)
    )
    assert finding.verdict is expected
    assert finding.interval.mean == k / 8


@pytest.mark.parametrize(("k", "expected"), [(6, Verdict.reproduced), (5, Verdict.inconclusive)])
def test_two_failure_rates_by_the_seeds_where_one_arm_failed(k, expected):
    # McNemar: 6 discordant seeds, p = 2 / 2^6 = 0.031; 5 of them, 0.0625
    two = {"control": "base", "direction": "greater"}
    (finding,) = judge_values(
        paired_values(values_with_sd(8)), failure_rate(**two), **diverged_trials(k)
    )
    assert finding.verdict is expected
    assert finding.p == 2 / 2**k
    assert finding.others["base"].mean == 0
    (finding,) = judge_values(
        paired_values(values_with_sd(8)),
        failure_rate(**two | {"direction": "less"}),
        **diverged_trials(6),
    )
    assert finding.verdict is Verdict.contradicted


def test_a_metric_above_its_threshold_is_a_failure_and_so_is_a_diverged_trial_without_it():
    columns = {("arm", "val/loss"): np.array([np.nan, 9, 9, 9, 9, 9, 9, 9])}
    chosen = failure_rate(at_least=0.6, metric="val/loss", above=5)
    (finding,) = judge_values(columns, chosen, arm=[(0, "diverged")])
    assert (finding.verdict, finding.interval.mean) == (Verdict.reproduced, 1)
    assert finding.claim.estimate_label == "share of trials of arm that diverged or ended above 5"
    (finding,) = judge_values(columns, chosen)
    assert finding.reason == "trials without an outcome: arm seed 0 (done)"
    low = failure_rate(at_most=0.5, metric="val/loss", below=5)
    assert judge_values({("arm", "val/loss"): np.full(8, 9)}, low)[0].verdict is Verdict.reproduced
    (finding,) = judge_values(
        paired_values(values_with_sd(8)), failure_rate(at_least=0.5), arm=[(3, "killed")]
    )
    assert finding.reason == "trials without an outcome: arm seed 3 (killed)"


SIZES = {
    **{("arm", f"bytes/n{n}"): np.full(3, 8.0 * n) for n in (64, 128)},
    **{("base", f"bytes/n{n}"): np.full(3, 64.0 * n) for n in (64, 128)},
    **{("arm", f"limit/n{n}"): np.full(3, 9.0 * n) for n in (64, 128)},
    ("arm", "share"): np.array([0.5625, 0.5625, 9 / 16]),
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"metric": "share", "value": 0.5625}, Verdict.reproduced),
        ({"metric": "share", "value": 0.5626}, Verdict.contradicted),
        ({"metric": "share", "value": 0.5625, "relation": "less"}, Verdict.contradicted),
        ({"metric": "share", "value": 0.5625, "relation": "at_most"}, Verdict.reproduced),
        ({"metric": "bytes/n{n}", "control": "base", "times": 0.125}, Verdict.reproduced),
        (
            {"metric": "bytes/n{n}", "other": "limit/n{n}", "relation": "less"},
            Verdict.reproduced,
        ),
        ({"metric": "bytes/n{n}", "value": 512, "relation": "at_least"}, Verdict.reproduced),
        ({"metric": "bytes/n{n}", "value": 513, "relation": "at_least"}, Verdict.contradicted),
    ],
)
def test_an_exact_claim_holds_at_every_seed_or_is_contradicted(changes, expected):
    (finding,) = judge_values(SIZES, exact(n=3, **changes))
    assert finding.verdict is expected
    assert finding.p is None


def test_an_exact_claim_names_the_first_case_that_breaks_it_and_takes_no_room_in_a_family():
    broken = SIZES | {("arm", "share"): np.array([0.5625, 0.6, 0.7])}
    chosen = exact(n=3, metric="share", relation="at_most", value=0.5625)
    findings = judge_values(broken | paired_values(0.5 + values_with_sd(8, 0.1)), chosen, claim())
    assert findings[0].reason == (
        "does not hold in 2 of 3 cases, first in share, seed 1: 0.6000 is not <= 0.5625"
    )
    assert findings[1].p == findings[1].p_holm


def test_a_difference_beyond_a_margin_and_of_a_multiple():
    columns = paired_values(0.5 + values_with_sd(8, 0.1))
    verdicts = {0.3: Verdict.reproduced, 0.5: Verdict.inconclusive, 0.7: Verdict.contradicted}
    for margin, expected in verdicts.items():
        assert judge_values(columns, claim(margin=margin))[0].verdict is expected
    double = {("base", "t"): 1 + values_with_sd(8, 0.01), ("arm", "t"): 3 + values_with_sd(8, 0.1)}
    for times, expected in {2: Verdict.reproduced, 4: Verdict.contradicted}.items():
        (finding,) = judge_values(double, claim(metric="t", times=times))
        assert finding.verdict is expected
        assert finding.interval.mean == pytest.approx(3 - times)
