"""The preconditions of a verdict, which can make a claim invalid regardless of its numbers."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from runner.claims.claim import DESCRIPTIVE_KEYS, AAPair
from runner.claims.finding import Verdict
from runner.claims.kinds import read_claim
from runner.claims.preconditions import Preconditions
from runner.claims.verdicts import judge
from runner.report.report_files import _finding_record
from tests.support.claim_tables import (
    claim,
    equivalence,
    judge_values,
    paired_values,
    power_law_values,
    results_table,
    slope,
    trials_table,
    values_with_sd,
)

SAME = {"arm": "copy", "control": "base"}


def costs(**params):
    return {arm: {"params": float(n)} for arm, n in params.items()}


def test_a_planted_half_wider_arm_is_unmatched():
    columns = paired_values(0.5 + values_with_sd(8, 0.1))
    asked = claim(equal_cost="params")
    (finding,) = judge_values(
        columns, asked, preconditions=Preconditions(costs(base=4_718_592, arm=7_077_888))
    )
    said = "unmatched: arm has 50 % more parameters than base (tolerance 1 %)"
    assert str(finding) == f"invalid: {said}"
    assert finding.interval is not None
    (finding,) = judge_values(
        columns, asked, preconditions=Preconditions(costs(base=1000, arm=1009))
    )
    assert finding.verdict is Verdict.reproduced
    (finding,) = judge_values(
        columns, asked, preconditions=Preconditions(costs(base=1000, arm=1009), tolerance=0.001)
    )
    assert finding.verdict is Verdict.invalid


def test_unknown_costs_matter_only_to_a_claim_that_asks_for_them():
    columns = paired_values(0.5 + values_with_sd(8, 0.1))
    assert judge_values(columns, claim())[0].verdict is Verdict.reproduced
    (finding,) = judge_values(columns, claim(equal_cost="params"))
    assert str(finding) == "invalid: unmatched: the parameters of base are unknown"
    wide = Preconditions(costs(base=1, arm=9))
    assert judge_values(columns, claim(), preconditions=wide)[0].verdict is Verdict.reproduced
    nothing = Preconditions(costs(base=0, arm=9))
    assert (
        "unmatched"
        in judge_values(columns, claim(equal_cost="params"), preconditions=nothing)[0].reason
    )


def test_an_arm_tuned_to_the_edge_of_its_grid_makes_its_claims_invalid():
    columns = paired_values(0.5 + values_with_sd(8, 0.1))
    rig = Preconditions(interior={"arm": False, "base": True}, tuned={"arm": "training.lr=0.01"})
    (finding,) = judge_values(columns, claim(), preconditions=rig)
    said = "the best tuned value is at an end of the grid (arm: training.lr=0.01)"
    assert str(finding) == f"invalid: {said}"
    inside = Preconditions(interior={"arm": True, "base": True, "other": False})
    assert judge_values(columns, claim(), preconditions=inside)[0].verdict is Verdict.reproduced


def timed(columns, *claims, unit="ms"):
    results = results_table(columns).assign(unit=unit)
    return judge(claims, results, scale="quick", trials=trials_table(results))


def test_a_speed_claim_inside_the_noise_floor_is_inconclusive():
    columns = paired_values(0.5 + values_with_sd(8, 0.1))
    base = columns["base", "val/loss"]
    noise = values_with_sd(8)
    columns["copy", "val/loss"] = base + noise
    # t(0.975, 7) x 1 / sqrt(8) = 0.836: more than half of the difference of 0.5
    (finding,) = timed(columns, claim(aa=SAME))
    assert finding.noise_floor == pytest.approx(0.836, abs=1e-3)
    assert finding.verdict is Verdict.inconclusive
    assert finding.p < 0.05
    assert (
        "the A/A pair differs by up to 0.836, more than 0.5 x the distance from 0 (0.5):"
        in finding.reason
    )
    columns["copy", "val/loss"] = base + 0.1 * noise + 0.02
    (finding,) = timed(columns, claim(aa=SAME))
    assert finding.noise_floor == pytest.approx(0.02 + 0.0836, abs=1e-3)
    assert finding.verdict is Verdict.reproduced
    assert finding.reason.endswith("the A/A pair is equal within 0.104")


def test_an_undecided_speed_claim_says_how_often_it_was_timed():
    columns = paired_values(0.5 + values_with_sd(8, 0.1))
    columns["copy", "val/loss"] = columns["base", "val/loss"] + values_with_sd(8)
    results = results_table(columns).assign(unit="ms")
    for passes, words in (
        ([1] * 24, "up to 0.836 after 1 timing pass, more than"),
        ([5] * 24, "up to 0.836 after 5 timing passes, more than"),
        ([1] * 3 + [3] * 21, "up to 0.836 after 1 to 3 timing passes, more than"),
        ([0] * 24, "up to 0.836, more than"),
    ):
        trials = trials_table(results).assign(passes=passes)
        (finding,) = judge([claim(aa=SAME)], results, scale="quick", trials=trials)
        assert finding.verdict is Verdict.inconclusive
        assert words in finding.reason


def test_the_noise_floor_holds_for_times_and_not_for_losses():
    columns = {(arm, "val/loss"): 0.2 * i + values_with_sd(8, 0.05) for i, arm in enumerate("abc")}
    columns["copy", "val/loss"] = columns["a", "val/loss"] + values_with_sd(8)[::-1]
    asked = claim(arm="c", control="a", aa={"arm": "copy", "control": "a"})
    assert timed(columns, asked)[0].verdict is Verdict.inconclusive
    assert timed(columns, asked, unit="nats")[0].verdict is Verdict.reproduced


def test_a_speed_claim_without_an_a_a_pair_is_invalid():
    columns = paired_values(0.5 + values_with_sd(8, 0.1))
    (finding,) = timed(columns, claim())
    assert str(finding).startswith("invalid: a claim about time or memory needs an A/A pair")
    assert finding.interval is not None
    assert timed(columns, claim(), unit="bytes")[0].verdict is Verdict.reproduced


@pytest.mark.parametrize(
    ("level", "expected"),
    # The A/A pair is spread(8): t(0.975, 7) / sqrt(8) = 0.836 of its deviation is the floor.
    [(0.0, Verdict.reproduced), (0.45, Verdict.inconclusive), (2.0, Verdict.contradicted)],
)
def test_an_equivalence_of_times_keeps_the_noise_floor_from_its_margin(level, expected):
    columns = paired_values(level + values_with_sd(8, 0.01))
    columns["copy", "val/loss"] = columns["base", "val/loss"] + values_with_sd(
        8, 0.2
    )  # a floor of 0.167
    asked = equivalence(delta=0.5, aa=SAME)
    (finding,) = timed(columns, asked)
    assert finding.noise_floor == pytest.approx(0.167, abs=1e-3)
    assert finding.verdict is expected
    assert timed(columns, equivalence(delta=0.5))[0].reason.startswith("a claim about time")
    if level == 0.45:
        assert timed(columns, asked, unit="nats")[0].verdict is Verdict.reproduced


def test_a_slope_of_times_keeps_the_noise_floor_from_its_band():
    same = {"arm": "copy", "control": "arm"}
    for noise, expected in ((0.01, Verdict.reproduced), (0.15, Verdict.inconclusive)):
        columns = power_law_values("arm", -0.5, 0.01) | power_law_values(
            "copy", -0.5, noise, seed=1
        )
        (finding,) = timed(columns, slope(aa=same))
        assert finding.verdict is expected, finding.reason
        assert finding.noise_floor is not None
    assert timed(columns, slope(aa=same), unit="nats")[0].verdict is Verdict.reproduced
    assert timed(columns, slope())[0].reason.startswith("a claim about time")


@pytest.mark.parametrize(
    ("off", "expected"),
    [(0.0, Verdict.reproduced), (0.2, Verdict.reproduced), (1.0, Verdict.inconclusive)],
)
def test_copies_may_differ_by_the_same_amount_at_every_seed(off, expected):
    columns = paired_values(0.5 + values_with_sd(8, 0.1))
    columns["copy", "val/loss"] = columns["base", "val/loss"] + off
    (finding,) = timed(columns, claim(aa=SAME), unit="MiB")
    assert finding.noise_floor == pytest.approx(off)
    assert finding.verdict is expected  # at most half of the difference of 0.5


def test_a_fraction_of_a_mebibyte_between_copies_decides_nothing_about_hundreds():
    # As measured on a quiet machine: the A/A pair always differs by 0.18 MiB, naive by 380 MiB.
    tiled = 66.8 + values_with_sd(8, 0.004)
    columns = {
        ("tiled", "peak"): tiled,
        ("tiled_copy", "peak"): tiled + 0.18 + values_with_sd(8, 0.002)[::-1],
        ("naive", "peak"): tiled + 380 + values_with_sd(8, 0.01),
    }
    asked = claim(metric="peak", arm="tiled", control="naive", direction="less")
    asked = dataclasses.replace(asked, aa=AAPair("tiled_copy", "tiled"))
    (finding,) = timed(columns, asked, unit="MiB")
    assert finding.verdict is Verdict.reproduced, finding.reason
    assert finding.noise_floor == pytest.approx(0.18, abs=0.005)
    # Other units than the allocator's must still differ by chance only.
    assert timed(columns, asked, unit="nats")[0].reason.startswith("the A/A pair differs")


def test_two_equal_arms_are_not_called_different():
    columns = paired_values(np.zeros(8))
    (finding,) = judge_values(columns)
    assert finding.verdict is Verdict.inconclusive
    assert finding.p == 1
    assert judge_values(columns, equivalence())[0].verdict is Verdict.reproduced


def six(differences):
    columns = paired_values(0.5 + values_with_sd(6, 0.1))
    columns["copy", "val/loss"] = columns["base", "val/loss"] + np.array(differences)
    return columns


def test_an_a_a_pair_is_called_different_by_the_rule_for_arms():
    alike = [1, 1, 1, 1, 1, -0.1]  # the interval leaves out 0, yet sign-flip p = 4 / 64
    assert judge_values(six(alike), claim(n=6, aa=SAME))[0].verdict is Verdict.reproduced
    (finding,) = judge_values(six([1, 1.1, 1, 0.9, 1, 0.1]), claim(n=6, aa=SAME))  # p = 2 / 64
    assert finding.reason.startswith("the A/A pair differs: copy - base is +0.85")


def test_an_a_a_pair_with_a_delta_must_be_shown_to_be_equal():
    within = SAME | {"delta": 0.1}
    shifted = 0.05 + values_with_sd(
        6, 0.01
    )  # differs, by the rule for arms, and by less than delta
    assert judge_values(six(shifted), claim(n=6, aa=SAME))[0].verdict is Verdict.invalid
    assert judge_values(six(shifted), claim(n=6, aa=within))[0].verdict is Verdict.reproduced
    (finding,) = judge_values(
        six(values_with_sd(6, 0.5)), claim(n=6, aa=within)
    )  # chance, and too much of it
    assert finding.reason.startswith(
        "the A/A pair is not shown to be equal: the 90% interval of copy"
    )
    assert finding.reason.endswith("not within ±0.1")


def test_a_claim_is_hashed_as_it_was_written_down():
    written = {"kind": "slope", "n": 8, "statement": "s", "source": "Xiong 2020", "family": "f"}
    written |= {"metric": "g/{depth}", "arm": "pre", "x": "depth", "band": [-0.6, -0.4]}
    first = read_claim("N1", written)
    assert first.fingerprint == read_claim("N1", dict(reversed(written.items()))).fingerprint
    assert len(first.fingerprint) == 12
    for change in ({"band": [-0.6, -0.39]}, {"n": 9}, {"alpha": 0.01}):
        assert read_claim("N1", written | change).fingerprint != first.fingerprint
    assert read_claim("N1", written | {"statement": "t"}).fingerprint == first.fingerprint
    assert read_claim("N2", written).fingerprint != first.fingerprint


def test_whoever_reads_verdicts_json_can_check_the_hash():
    chosen = [claim(aa=SAME, published="+0.5 日本語"), slope(), equivalence()]
    for finding in judge_values(paired_values(values_with_sd(8)), *chosen):
        written = json.loads(json.dumps(_finding_record(finding)))
        deciding = {
            key: value for key, value in written["claim"].items() if key not in DESCRIPTIVE_KEYS
        }
        assert len(deciding) < len(written["claim"])
        text = json.dumps(deciding, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest()[:12] == written["registered"]


def test_of_two_tolerances_the_stricter_one_holds():
    columns = paired_values(0.5 + values_with_sd(8, 0.1))
    asked, near = claim(equal_cost="params"), costs(base=1000, arm=1009)
    for strict in ("base", "arm"):
        (finding,) = judge_values(
            columns, asked, preconditions=Preconditions(near, 0.5, tolerances={strict: 0.001})
        )
        assert finding.reason.endswith("(tolerance 0.1 %)")
    (finding,) = judge_values(
        columns,
        asked,
        preconditions=Preconditions(near, 0.001, tolerances={"arm": 0.1, "base": 0.1}),
    )
    assert finding.verdict is Verdict.reproduced


def test_the_noise_floor_lies_around_the_margin_and_grows_with_the_factor():
    # A - A is 0.04 + spread 0.1, so the floor is 0.04 + 0.0836 = 0.124
    base = np.linspace(3, 4, 8)
    columns = {
        ("base", "t"): base,
        ("copy", "t"): base + 0.04 + values_with_sd(8, 0.1),
        ("arm", "t"): base + 0.5 + values_with_sd(8, 0.05),
    }
    for margin, expected in ((0.2, Verdict.reproduced), (0.3, Verdict.inconclusive)):
        assert timed(columns, claim(metric="t", aa=SAME, margin=margin))[0].verdict is expected
    (finding,) = timed(columns, claim(metric="t", aa=SAME, margin=0.3))
    assert "up to 0.124, more than 0.5 x the distance from 0.3 (0.2):" in finding.reason
    (finding,) = timed(columns, claim(metric="t", aa=SAME, margin=0.3012345))
    assert "more than 0.5 x the distance from 0.301 (0.199):" in finding.reason
    columns["arm", "t"] = 2 * base + 0.2 + values_with_sd(8, 0.05)
    (finding,) = timed(columns, claim(metric="t", aa=SAME, times=2))
    assert finding.noise_floor == pytest.approx(2 * 0.1236, abs=1e-3)
    assert finding.verdict is Verdict.inconclusive
    columns["arm", "t"] = 0.5 * base + 0.26 + values_with_sd(8, 0.05)
    (finding,) = timed(columns, claim(metric="t", aa=SAME, times=0.5))
    assert finding.noise_floor == pytest.approx(0.1236, abs=1e-3)
    assert finding.verdict is Verdict.reproduced
