"""Compared arms declare their differences, which invalidate a claim of equal cost."""

import pytest

from runner.claims.fairness import Fairness, format_cost_ratio, format_unequal_settings
from runner.claims.finding import Verdict
from runner.claims.preconditions import Preconditions
from runner.claims.registration import Registration
from runner.claims.verdicts import judge
from tests.support.claim_tables import (
    claim,
    equivalence,
    exact,
    failure_rate,
    judge_values,
    paired_values,
    results_table,
    values_with_sd,
)

BASE = {
    "training.steps": 20,
    "training.clip": 1.0,
    "task.kind": "function",
    "task.n_eval": 64,
    "options.causal": True,
    "options.lengths": "[16, 32]",
    "options.rounds": 5,
    "device.dtype": "float32",
    "match.by": "params",
    "match.solve": "ffn.d_ff",
    "match.tolerance": 0.01,
    "data": "abc",
}


def fairness(arm=None, base=None, **changes) -> Fairness:
    values = {"arm": BASE | (arm or {}), "base": BASE | (base or {})}
    return Fairness(values, **changes)


def words(arm, metric="val/loss", **changes) -> str:
    return format_unequal_settings(fairness(arm, **changes).unequal_settings(metric, "arm", "base"))


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ({}, ""),
        ({"training.steps": 40}, "training.steps (40 against 20)"),
        ({"options.causal": False}, "options.causal (false against true)"),
        ({"options.lengths": "[16]"}, "options.lengths ([16] against [16, 32])"),
        ({"device.dtype": "float64"}, "device.dtype (float64 against float32)"),
        ({"training.clip": 1.0000000001}, "training.clip (1.0000000001 against 1)"),
        ({"data": "xyz"}, "data (xyz against abc)"),
        ({"task.n_eval": 8, "data": "xyz"}, "task.n_eval (8 against 64)"),
        (
            {"task.kind": "waves", "task.noise": 0.1, "data": "xyz"},
            "task.kind (waves against function)",
        ),
        ({"match.by": "none"}, "match.by (none against params)"),
        ({"match.tolerance": 0.5}, "match.tolerance (0.5 against 0.01)"),
        (
            {"match.by": "none", "training.steps": 40},
            "match.by (none against params) and training.steps (40 against 20)",
        ),
        (
            {"device.dtype": "x", "match.by": "none", "task.n_eval": 8, "training.steps": 1}
            | {"training.clip": 2.0},
            "device.dtype (x against float32), match.by (none against params), "
            "task.n_eval (8 against 64) and 2 more keys",
        ),
    ],
)
def test_what_differs_beside_the_parts_is_named(arm, said):
    assert words(arm) == said


def test_a_width_that_was_solved_is_no_difference():
    solved = {"match.solve": "model.d_model", "model.d_model": 48}
    base = {"match.solve": "model.d_model", "model.d_model": 32}
    assert not fairness(solved, base).unequal_settings("val/loss", "arm", "base")
    free = {"match.by": "none"}
    unequal = fairness(solved | free, base | free).unequal_settings("val/loss", "arm", "base")
    assert unequal == {"model.d_model": ("48", "32")}


def test_two_names_of_a_width_in_one_part_are_no_difference():
    assert fairness({"match.solve": "ffn.hidden"}).unequal_settings("val/loss", "arm", "base") == {}
    other = fairness({"match.solve": "attention.n_heads"})
    assert list(other.unequal_settings("val/loss", "arm", "base")) == ["match.solve"]


def test_a_tolerance_above_the_presets_is_told_where_both_arms_have_it():
    wide = {"match.tolerance": 0.5}
    unequal = fairness(wide, wide).unequal_settings("val/loss", "arm", "base")
    assert format_unequal_settings(unequal) == "match.tolerance (0.5 against 0.01 in the preset)"
    assert not fairness(wide, wide, tolerance=0.5).unequal_settings("val/loss", "arm", "base")


def test_an_option_that_only_measures_concerns_its_metrics_alone():
    more = {"options.rounds": 9, "options.lengths": "[16]"}
    affects = {"rounds": (), "lengths": ("gqa/decode",)}
    assert words(more, affects=affects) == ""
    assert words(more, "gqa/decode_time", affects=affects).startswith("options.lengths")
    assert words({"options.causal": False}, affects=affects).startswith("options.causal")


@pytest.mark.parametrize(
    ("by", "ratio", "said"),
    [
        ("params", 1.2443, "at 24.4 % more parameters"),
        ("params", 0.25, "at 75 % fewer parameters"),
        ("params", 3.04, "at 3.0 x the parameters"),
        ("active_params", 1.996, "at 100 % more active parameters"),
        ("flops", 0.0, "at 100 % fewer FLOPs a token"),
        ("kv_bytes", float("inf"), "at far more bytes of keys and values a token"),
    ],
)
def test_a_ratio_of_costs_in_words(by, ratio, said):
    assert format_cost_ratio(by, ratio) == said


def test_the_cost_is_that_which_an_arm_is_matched_in():
    costs = {"arm": {"params": 120, "flops": 3.0}, "base": {"params": 100, "flops": 2.0}}
    free = {"match.by": "none"}
    assert fairness(free, costs=costs).cost_comparison("arm", "base") == ("params", 1.2)
    assert fairness({"match.by": "flops"}, costs=costs).cost_comparison("arm", "base") == (
        "flops",
        1.5,
    )
    assert (
        fairness(free, {"match.by": "flops"}, costs=costs).cost_comparison("arm", "base")[0]
        == "flops"
    )
    assert fairness(free, free, costs=costs).cost_comparison("arm", "base") == ("params", 1.2)
    assert not fairness(tolerance=0.5).is_matched(
        1.02
    )  # at most 1 % counts, also with a larger tolerance
    assert not fairness(tolerance=0.001).is_matched(1.005)
    assert fairness().is_matched(1.005)
    assert fairness().is_matched(float("nan"))


def preconditions_of(arm=None, base=None, others=(), **changes) -> Preconditions:
    """Return preconditions of arms of equal cost; `others` have the conditions of the base."""
    values = {"arm": BASE | (arm or {}), "base": BASE | (base or {})}
    values |= {name: dict(BASE) for name in others}
    costs = {name: {"params": 100.0} for name in values}
    return Preconditions(**{"costs": costs, "fairness": Fairness(values)} | changes)


STEPS = {"training.steps": 40}


@pytest.mark.parametrize(
    ("asked", "columns"),
    [
        (claim(equal_cost="params"), paired_values(0.5 + values_with_sd(8, 0.1))),
        (equivalence(equal_cost="params", delta=9.0), paired_values(values_with_sd(8, 0.1))),
        (exact(equal_cost="params", control="base"), paired_values([0.0] * 8)),
        (
            failure_rate(control="base", direction="greater", equal_cost="params"),
            paired_values(values_with_sd(8, 0.1)),
        ),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_unequal_arms_make_a_claim_of_equal_cost_invalid(asked, columns):
    fair = judge_values(columns, asked, preconditions=preconditions_of(others=["mid"]))[0]
    assert fair.verdict is not Verdict.invalid, fair.reason
    (finding,) = judge_values(columns, asked, preconditions=preconditions_of(STEPS, others=["mid"]))
    assert str(finding) == "invalid: unfair: the arms also differ in training.steps (40 against 20)"
    assert list(finding.unequal) == ["training.steps"]


def test_a_claim_may_be_about_what_differs():
    columns = paired_values(0.5 + values_with_sd(8, 0.1))
    (finding,) = judge_values(
        columns,
        claim(equal_cost="params", differs=["training.steps"]),
        preconditions=preconditions_of(STEPS),
    )
    assert finding.verdict is Verdict.reproduced
    assert not finding.unequal
    (other,) = judge_values(
        columns,
        claim(equal_cost="params", differs=["training.lr"]),
        preconditions=preconditions_of(STEPS),
    )
    assert other.verdict is Verdict.invalid
    for wrong in ("training.steps", ["training.steps", 3], [""]):
        with pytest.raises(ValueError, match="differs"):
            claim(differs=wrong)


def test_a_claim_without_equal_cost_says_what_differs():
    (finding,) = judge_values(
        paired_values(0.5 + values_with_sd(8, 0.1)), claim(), preconditions=preconditions_of(STEPS)
    )
    assert finding.verdict is Verdict.reproduced
    assert finding.reason.endswith("the arms also differ in training.steps (40 against 20)")


def test_arms_of_other_seeds_are_not_equal():
    columns = paired_values(0.5 + values_with_sd(8, 0.1))
    chosen = preconditions_of(seed_offsets={"arm": 3000, "base": 0})
    (finding,) = judge_values(columns, claim(equal_cost="params"), preconditions=chosen)
    assert str(finding) == "invalid: unfair: the arms also differ in seed_offset (3000 against 0)"


def test_a_tolerance_of_the_preset_lets_a_claim_pass_and_the_cost_is_told():
    costs = {"arm": {"params": 124.4}, "base": {"params": 100.0}}
    wide = dict.fromkeys(("arm", "base"), 0.5)
    (finding,) = judge_values(
        paired_values(0.5 + values_with_sd(8, 0.1)),
        claim(equal_cost="params"),
        preconditions=Preconditions(costs, tolerances=wide),
    )
    assert finding.verdict is Verdict.reproduced
    assert finding.reason.endswith("arm has 24.4 % more parameters than base")


AA = {"arm": "copy", "control": "base"}


def with_copy():
    return paired_values(0.5 + values_with_sd(8, 0.1)) | {
        ("copy", "val/loss"): 3.5 + values_with_sd(8, 0.5)
    }


@pytest.mark.parametrize(
    ("copies", "offset", "said"),
    [
        ({"copy": "base"}, 1000, ""),
        ({"copy": "base"}, 8, ""),
        (
            {"copy": "base"},
            7,
            "A/A pair: the seeds of copy and base overlap, as their seed_offset ",
        ),
        ({"copy": "base"}, 1, "differs by 1 and there are 8 seeds"),
        ({"copy": "arm"}, 1000, "A/A pair: copy and base differ in more than their seeds"),
        ({}, 1000, "A/A pair: copy and base differ in more than their seeds"),
    ],
)
def test_an_a_a_pair_is_one_arm_twice_under_seeds_that_do_not_overlap(copies, offset, said):
    known = Preconditions(aa_pairs=copies, seed_offsets={"copy": offset})
    (finding,) = judge_values(with_copy(), claim(aa=AA), preconditions=known)
    if said:
        assert finding.verdict is Verdict.invalid
        assert said in finding.reason
    else:
        assert finding.verdict is Verdict.reproduced, finding.reason


def test_an_invalid_claim_shows_its_estimate_its_pair_and_how_many_seeds_could_decide_it():
    columns = {key: values[:5] for key, values in with_copy().items()}
    (finding,) = judge_values(columns, claim(n=5, aa=AA))
    assert finding.verdict is Verdict.invalid
    assert finding.reason.endswith("use n: 6")
    assert finding.least_n == 6
    assert finding.interval is not None
    assert finding.aa is not None
    (short,) = judge_values(columns, claim(n=8))
    assert short.reason == "too few seeds (5 of 8)"
    assert short.n == 5
    assert short.interval is not None


def test_a_claim_is_published_only_if_the_release_has_registered_it():
    results = results_table(paired_values(0.5 + values_with_sd(8, 0.1)))
    trials = results[["arm", "seed"]].drop_duplicates().assign(status="done")
    claims = [claim(name) for name in ("p", "own", "late", "added", "changed")]
    known = {
        "p": Registration(True, "2026-11-25", hash=claims[0].fingerprint),
        "own": Registration(False, "2026-11-25"),
        "late": Registration(False, "2026-11-25", late=True, cure="seed=8"),
        "changed": Registration(True, "2026-11-25", hash=claim("changed", n=6).fingerprint),
    }
    findings = judge(claims, results, scale="quick", trials=trials, registrations=known)
    assert [finding.shipped for finding in findings] == [True, False, False, False, False]
    assert [str(f.verdict) for f in findings] == ["reproduced"] * 2 + ["invalid"] * 3
    assert [f.written_after_results for f in findings] == [False] * 2 + [True] * 3
    assert findings[2].reason.startswith("written after its results; seed=8")
    for finding in findings[3:]:
        assert finding.reason.startswith("this run did not register this version of the claim")
        assert finding.interval is not None  # the estimate is reported anyway


@pytest.mark.parametrize("key", ["training.steps", "device.threads", "options.length"])
def test_only_the_width_of_a_part_is_solved_without_a_word(key):
    arm, base = {"match.solve": key, key: 600}, {"match.solve": key, key: 300}
    unequal = fairness(arm, base).unequal_settings("val/loss", "arm", "base")
    assert unequal == {key: ("600", "300")}


def test_a_claim_without_equal_cost_says_what_its_arms_cost():
    costs = {"arm": {"params": 200.0}, "base": {"params": 100.0}}
    known = Preconditions(costs, fairness=Fairness({"arm": BASE, "base": BASE}, costs=costs))
    (finding,) = judge_values(
        paired_values(values_with_sd(8, 0.1) - 1), claim(direction="less"), preconditions=known
    )
    assert finding.verdict is Verdict.reproduced
    assert "arm compared with base, at 2.0 x the parameters" in finding.reason


def test_an_exact_claim_is_not_decided_by_values_of_diverged_trials():
    results = results_table({("arm", "val/loss"): [1.0, 2.0]})
    trials = results[["arm", "seed"]].drop_duplicates().assign(status="diverged")
    at_most = exact(n=2, relation="at_most", value=3, metric="val/loss")
    clipped = results[["arm", "seed", "metric"]]
    (finding,) = judge([at_most], results, scale="quick", trials=trials, clipped=clipped)
    assert finding.verdict is Verdict.invalid
    assert (
        "substitute values of diverged trials cannot decide an exact claim (2 of them)"
        in finding.reason
    )
    (finding,) = judge([at_most], results, scale="quick", trials=trials)
    assert finding.verdict is Verdict.reproduced


def test_an_unknown_cost_is_not_called_equal():
    conditions = {arm: {"match.by": "active_params"} for arm in ("a", "b")}
    costs = {"a": {"params": 300.0}, "b": {"params": 100.0}}
    text = Fairness(conditions, costs=costs).format_cost_difference("a", "b")
    assert text == ", at 3.0 x the parameters"
