"""The rules of every kind of claim, and the errors of invalid claims."""

import numpy as np
import pytest

from runner.claims.finding import Verdict
from tests.support.claim_tables import (
    CLAIM_BUILDERS,
    CONTROLS,
    claim,
    diverged_trials,
    failure_rate,
    judge_values,
    paired_values,
    power_law_values,
    values_with_sd,
)


def sound():
    """Return records in which every kind is reproduced, with an A/A pair and a positive control."""
    columns = paired_values(0.5 + values_with_sd(8, 0.1)) | power_law_values("arm", -0.5, 0.05)
    base = columns["base", "val/loss"]
    columns |= power_law_values("base", -0.5, 0.05, seed=2) | power_law_values(
        "copy", -0.5, 0.05, seed=3
    )
    columns["copy", "val/loss"] = base + values_with_sd(8, 0.02)
    columns["base2", "val/loss"] = base[::-1]
    columns["arm2", "val/loss"] = base[::-1] + values_with_sd(8, 0.05)[::-1]
    columns["broken", "val/loss"] = base + 5 + values_with_sd(8)
    return columns


ASKED = {
    "difference": {},
    "equivalence": {"delta": 1},
    "slope": {},
    "failure_rate": {"at_least": 0.6},
    "interaction": {},
}


@pytest.mark.parametrize("kind", ASKED)
@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        ({}, {}, None),
        ({}, {"scale": "smoke"}, "scale=smoke only checks that everything runs"),
        ({"n": 12}, {}, "too few seeds (8 of 12)"),
        ({"aa": {"arm": "gone", "control": "base"}}, {}, "A/A pair: there is no arm 'gone'"),
        (
            {"positive_control": CONTROLS["positive_control"] | {"direction": "less"}},
            {},
            "the positive control does not show its difference: val/loss of broken - base",
        ),
        (
            {"positive_control": CONTROLS["positive_control"] | {"arm": "gone"}},
            {},
            "positive control: there is no arm 'gone'",
        ),
    ],
)
def test_the_rules_of_the_rig_hold_for_every_kind(kind, changes, options, reason):
    chosen = CLAIM_BUILDERS[kind](**ASKED[kind] | CONTROLS | changes)
    (finding,) = judge_values(sound(), chosen, **options, **diverged_trials(8))
    if reason is None:
        assert finding.verdict is Verdict.reproduced
    else:
        assert str(finding).startswith(f"invalid: {reason}")


@pytest.mark.parametrize(("kind", "other"), [("slope", 0.0), ("difference", 0.0)])
def test_the_a_a_pair_is_compared_in_what_the_claim_is_about(kind, other):
    columns = sound() | power_law_values("copy", other, 0.05, seed=3)
    (finding,) = judge_values(columns, CLAIM_BUILDERS[kind](**ASKED[kind] | CONTROLS))
    differs = kind == "slope"  # only its slope changed, not its loss
    assert str(finding).startswith("invalid: the A/A pair differs" if differs else "reproduced")


def test_the_a_a_pair_of_a_failure_rate_may_be_without_failures_but_not_differ():
    chosen = failure_rate(at_least=0.6, aa=CONTROLS["aa"])
    assert judge_values(sound(), chosen, **diverged_trials(8))[0].verdict is Verdict.reproduced
    (finding,) = judge_values(
        sound(), chosen, **diverged_trials(8), **diverged_trials(7, arm="copy")
    )
    assert finding.reason == "the A/A pair differs: copy - base is +0.875"


@pytest.mark.parametrize(
    ("chosen", "least"),
    [
        (failure_rate(n=4, at_least=0.5), "exact p is 0.12"),  # 2 / 2^4
        (failure_rate(n=5, control="base", direction="less"), "exact p is 0.062"),  # 2 / 2^5
        (CLAIM_BUILDERS["difference"](n=5), "sign-flip p is 0.062"),  # 2 / 2^5
    ],
)
def test_a_claim_that_its_seeds_cannot_decide_is_refused(chosen, least):
    (finding,) = judge_values(sound(), chosen)
    assert "cannot reach p < 0.05: the least Holm-corrected " + least in finding.reason


def test_an_estimate_over_more_seeds_decides_nothing():
    more = {key: np.append(values, [values[-1] + 9] * 4) for key, values in sound().items()}
    for kind, keys in ASKED.items():
        (finding,) = judge_values(more, CLAIM_BUILDERS[kind](**keys), **diverged_trials(8))
        assert (finding.verdict, finding.extra_estimate.n) == (Verdict.reproduced, 12)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("equivalence", {"delta": None}, "give one of delta, delta_share, delta_aa, got none"),
        ("equivalence", {"delta_share": 0.1}, "got delta, delta_share"),
        ("equivalence", {"delta": -1}, "delta=-1 must be a number above 0"),
        ("equivalence", {"delta": None, "delta_aa": 3}, r"delta_aa needs an A/A pair \(aa\)"),
        ("equivalence", {"direction": "less"}, "there is no key 'direction'; there are: aa, "),
        (
            "equivalence",
            {"aa": CONTROLS["aa"] | {"delta": 0}},
            "aa.delta=0 must be a number above 0",
        ),
        ("difference", {"control": None}, "give either control .* or other"),
        ("difference", {"other": "val/start"}, "give either control .* or other"),
        ("difference", {"control": None, "other": "val/loss"}, "cannot be compared with itself"),
        ("slope", {"band": [1, 0]}, r"band=\(1, 0\) must be two numbers, the lower one first"),
        ("slope", {"band": 0.5}, "band=0.5 must be two numbers"),
        ("slope", {"x": "length"}, "must have exactly one placeholder, x='length'"),
        ("slope", {"log": "xy"}, "log='xy' is unknown"),
        ("slope", {"control": {"arm": "b"}}, "control: missing key band"),
        ("slope", {"equal_cost": "flops"}, "equal_cost needs two arms"),
        ("difference", {"arm": "base"}, "'base' cannot be compared with itself"),
        ("failure_rate", {"at_least": None}, "give one of at_least, at_most, control, got none"),
        ("failure_rate", {"at_least": 1}, "at_least=1 must lie between 0 and 1"),
        (
            "failure_rate",
            {"metric": "val/loss"},
            r"metric and one limit, above or below \(a number\), must be given together",
        ),
        (
            "failure_rate",
            {"below": 1},
            r"metric and one limit, above or below \(a number\), must be given together",
        ),
        ("failure_rate", {"direction": "less"}, "control and direction must be given together"),
        ("exact", {"relation": "same"}, "relation='same' is unknown"),
        ("exact", {"value": None}, "give either value, or control and/or other"),
        ("exact", {"control": "base"}, "give either value, or control and/or other"),
        (
            "exact",
            {"value": None, "other": "b/n{n}"},
            "has placeholders that metric does not have: n",
        ),
        ("exact", {"family": "f"}, "there is no key 'family'; there are: arm, "),
        ("difference", {"times": 0}, "times=0 must be a number above 0"),
        ("difference", {"margin": -1}, "margin=-1 must be a number, at least 0"),
        ("difference", {"equal_cost": "speed"}, "equal_cost='speed' is unknown"),
    ],
)
def test_a_claim_that_is_written_wrongly_says_what_and_how(kind, changes, message):
    asked = ASKED | {"exact": {"value": 1}}
    with pytest.raises(ValueError, match=message):
        CLAIM_BUILDERS[kind](**asked[kind] | changes)


def test_a_claim_names_its_metrics_the_other_one_and_that_of_its_control():
    """A metric that no trial records is refused at each place."""
    assert claim().named_metrics == ("val/loss",)
    controlled = claim(metric="a/b", positive_control=CONTROLS["positive_control"])
    assert controlled.named_metrics == ("a/b", "val/loss")
    assert claim(metric="a/b", control=None, other="a/c").named_metrics == ("a/b", "a/c")
    exact = {"kind": "exact", "family": None, "direction": None, "relation": "at_most"}
    filled = claim(**exact, metric="a/{x}", control=None, other="b/{x}")
    assert filled.named_metrics == ("a/{x}", "b/{x}")
