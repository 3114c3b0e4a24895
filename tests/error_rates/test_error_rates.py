"""Error rates of verdicts by simulation: on null data each kind is rarely wrong."""

import numpy as np
import pytest

from runner.claims.finding import Verdict
from tests.support.claim_tables import (
    DEPTHS,
    claim,
    equivalence,
    failure_rate,
    judge_values,
    rng,
    slope,
)

STUDIES = 800
# Three binomial standard errors above the nominal level, so that sound rules pass.
SLACK = 3 * (0.05 * 0.95 / STUDIES) ** 0.5


def shares(findings):
    """Return the share of each verdict."""
    verdicts = [finding.verdict for finding in findings]
    return {v: verdicts.count(v) / len(verdicts) for v in Verdict}


@pytest.mark.parametrize("n", [6, 8])
def test_false_equivalence_where_the_true_difference_is_delta(n):
    draw, columns = rng(n), {}
    for i in range(STUDIES):
        columns["base", f"m{i}"] = draw.normal(3, 1, n)
        columns["arm", f"m{i}"] = columns["base", f"m{i}"] + draw.normal(0.1, 0.03, n)
    claims = [equivalence(f"e{i}", metric=f"m{i}", n=n) for i in range(STUDIES)]
    rates = shares(judge_values(columns, *claims))
    assert 0.05 - SLACK <= rates[Verdict.reproduced] <= 0.05 + SLACK
    assert rates[Verdict.contradicted] <= 0.025 + SLACK


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, pytest.param(8, marks=pytest.mark.slow)])
def test_false_slopes_where_the_true_slope_is_the_edge_of_the_band(n):
    draw, columns = rng(n), {}
    for i in range(STUDIES):
        noise = draw.normal(0, 1, (n, 1)) + draw.normal(0, 0.05, (n, len(DEPTHS)))
        values = np.exp(-0.4 * np.log(DEPTHS) + noise)
        columns |= {("arm", f"g{i}/{d}"): c for d, c in zip(DEPTHS, values.T, strict=True)}
    claims = [slope(f"s{i}", metric=f"g{i}/{{depth}}", n=n) for i in range(STUDIES)]
    rates = shares(judge_values(columns, *claims))
    assert rates[Verdict.reproduced] <= 0.025 + SLACK
    assert rates[Verdict.reproduced] + rates[Verdict.contradicted] <= 0.05 + SLACK


@pytest.mark.parametrize("two_arms", [False, True])
def test_false_failure_rates_where_the_true_rate_is_the_bound(two_arms):
    draw, n = rng(1), 8
    columns = {
        (arm, f"m{i}"): (draw.random(n) < 0.5).astype(float)
        for arm in ("arm", "base")
        for i in range(STUDIES)
    }
    asked = {"control": "base", "direction": "greater"} if two_arms else {"at_least": 0.5}
    claims = [
        failure_rate(f"r{i}", metric=f"m{i}", above=0.5, n=n, **asked) for i in range(STUDIES)
    ]
    rates = shares(judge_values(columns, *claims))
    assert rates[Verdict.reproduced] + rates[Verdict.contradicted] <= 0.05


def test_a_family_of_mixed_kinds_keeps_its_level():
    draw, n, studies = rng(2), 8, 400
    columns, claims = {}, []
    for i in range(studies):
        for arm in ("arm", "base"):
            columns[arm, f"m{i}"] = draw.normal(size=n)
        columns["base", f"e{i}"] = draw.normal(3, 1, n)
        columns["arm", f"e{i}"] = columns["base", f"e{i}"] + draw.normal(0.1, 0.03, n)
        family = f"f{i}"
        claims += [
            claim(f"d{i}", metric=f"m{i}", direction="less", n=n, family=family),
            equivalence(f"e{i}", metric=f"e{i}", n=n, family=family),
        ]
    wrong = [f.verdict is Verdict.reproduced for f in judge_values(columns, *claims)]
    any_wrong = np.reshape(wrong, (studies, 2)).any(axis=1).mean()
    assert any_wrong <= 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5


@pytest.mark.some(1)
@pytest.mark.parametrize("n", [6, 8])
def test_a_sound_a_a_pair_seldom_makes_a_claim_invalid(n):
    draw, columns = rng(n + 20), {}
    for i in range(STUDIES):
        base = draw.normal(size=n)
        for arm, values in (("base", base), ("copy", draw.normal(size=n)), ("arm", base + 9)):
            columns[arm, f"m{i}"] = values + (arm == "arm") * draw.normal(size=n)
    same = {"arm": "copy", "control": "base"}
    claims = [claim(f"a{i}", metric=f"m{i}", n=n, aa=same) for i in range(STUDIES)]
    rates = shares(judge_values(columns, *claims))
    assert rates[Verdict.invalid] <= 0.05
    assert rates[Verdict.reproduced] >= 0.95
