"""The answer: one family of tests, and never a word that the seeds do not carry."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from runner import registry
from runner.claims.finding import Finding, Verdict
from runner.claims.headline import Headline
from runner.metric_names import COUNT, KEPT_IF_DIVERGED
from runner.report import page, tables
from runner.report.answer import answer_lines, answer_record, verdict_counts
from runner.report.headlines import compare_headlines
from runner.report.repeated_looks import RepeatedLooks
from runner.report.report_files import add_standings, write_report
from runner.report.study_record import StudyRecord
from runner.stats.comparison import compare_with_baseline, summarise_arms
from tests.support.claim_tables import claim, results_table, rng, values_with_sd
from tests.support.sample_study import make_study

LOSS = Headline("val/loss", "less", "loss")


def study(columns, headline=(LOSS,), offsets=None, trials=None, **changes) -> StudyRecord:
    """A study of {(arm, metric): values of seeds 0, 1, ...}; the first arm is the baseline."""
    arms = list(dict.fromkeys(arm for arm, _ in columns))
    results = results_table(columns)
    results["unit"] = ["1" if m != "val/loss" else "nats" for m in results["metric"]]
    if trials is None:
        trials = results[["arm", "seed"]].drop_duplicates().assign(status="done")
    arms += [arm for arm in dict.fromkeys(trials["arm"]) if arm not in arms]
    offsets = offsets or {}
    fields = {
        "arms": {arm: [] for arm in arms},
        "baseline": arms[0],
        "headline": list(headline),
        "results": results,
        "trials": trials.assign(seconds=1.0, reused=False, folder="f", message=""),
        "history": make_study().history.head(0),
        "hparams": {
            arm: {"part": arm.split("_")[0], "seed_offset": offsets.get(arm, 0)} for arm in arms
        },
        "claims": [],
        "figures": {},
        "notes": [],
    }
    return make_study(**fields | changes)


def noise(n: int, sd: float, seed: int) -> np.ndarray:
    return rng(seed).normal(0, sd, n)


def standings(record: StudyRecord) -> dict[tuple[str, str], str]:
    return {
        (one.headline.metric, one.arm): str(one.standing)
        for one in compare_headlines(record, record.results)
    }


def told(record: StudyRecord) -> str:
    return "\n".join(answer_lines(record, compare_headlines(record, record.results), []))


def test_an_arm_that_lost_half_of_its_seeds_is_never_better():
    draw = rng(0)
    better = 0.74 + 0.01 * draw.standard_normal(12)
    better[::2] = np.nan
    record = study(
        {("base", "acc"): 0.70 + 0.01 * draw.standard_normal(12), ("arm", "acc"): better},
        [Headline("acc", "greater", "accuracy")],
    )
    (one,) = compare_headlines(record, record.results)
    assert (str(one.standing), one.decision.reason) == ("undecided", "6 of 12 seeds")
    assert (one.to_json()["n"], one.to_json()["n_missing"], one.to_json()["p"]) == (6, 6, None)
    sentence = told(record)
    assert "6 of 12 seeds) is undecided against base" in sentence
    assert "better" not in sentence
    table_ = tables.comparison_table(
        record, record.headline[0], [one], summarise_arms(record.results)
    )
    assert "(6 of 12 seeds)" in table_["rows"][1]["value"]


def test_an_arm_without_any_value_is_named():
    record = study(
        {
            ("base", "acc"): 0.7 + values_with_sd(8, 0.01),
            ("arm", "acc"): np.full(8, np.nan),
        },
        [Headline("acc", "greater", "accuracy")],
    )
    assert "arm (0 of 8 seeds) is undecided against base" in told(record)


def test_an_arm_that_lost_every_trial_is_named_everywhere(tmp_path: Path):
    columns = {
        ("base", "val/loss"): 2 + values_with_sd(6, 0.1),
        ("arm", "val/loss"): 3 + values_with_sd(6, 0.1),
    }
    trials = pd.DataFrame(
        [(a, s, "failed" if a == "gone" else "done") for a in ("base", "arm", "gone")
         for s in range(6)],
        columns=["arm", "seed", "status"],
    )  # fmt: skip
    outcome = write_report(tmp_path / "run", study(columns, trials=trials))
    assert "gone (0 of 6 seeds) is undecided against base" in outcome.answer[0]
    kept = json.loads((tmp_path / "run" / "answer.json").read_text())
    assert {row["arm"]: row["standing"] for row in kept["headlines"]} == {
        "arm": "worse",
        "gone": "undecided",
    }
    rows = pd.read_csv(tmp_path / "run" / "comparison.csv").set_index("arm")
    assert rows.words["gone"] == "undecided (0 of 6 seeds)"
    assert np.isnan(rows.difference["gone"])
    # Where the baseline is the one that is gone nothing is compared, and it is named.
    lost = study(
        {
            ("arm", "val/loss"): 3 + values_with_sd(6, 0.1),
            ("other", "val/loss"): 3 + values_with_sd(6, 0.2),
        },
        trials=trials.replace({"arm": {"base": "other"}}),
        baseline="gone",
    )
    assert "gone has no result." in told(lost)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_coarse_metrics_are_never_better_without_a_test(n: int):
    record = study(
        {("base", "translation/exact"): np.zeros(n), ("arm", "translation/exact"): np.ones(n)},
        [Headline("translation/exact", "greater", "exact match")],
    )
    (one,) = compare_headlines(record, record.results)
    assert str(one.standing) == "undecided"
    assert one.decision.reason == f"{n} seeds cannot reach p < 0.05; 6 could"


def test_counts_that_no_seed_changes_are_exact(monkeypatch):
    sizes = {("base", "cost/bytes"): [512.0] * 2, ("arm", "cost/bytes"): [256.0] * 2}
    headline = [Headline("cost/bytes", "less", "bytes of keys and values")]
    assert registry.metric("cost/bytes") == COUNT
    assert standings(study(sizes, headline)) == {("cost/bytes", "arm"): "better"}
    assert "arm is better than base by 256." in told(study(sizes, headline))
    same = {key: [512.0] * 2 for key in sizes}
    assert standings(study(same, headline)) == {("cost/bytes", "arm"): "no significant difference"}
    uneven = sizes | {("arm", "cost/bytes"): [256.0, 300.0]}
    (one,) = compare_headlines(record := study(uneven, headline), record.results)
    assert one.decision.reason == "declared to be the same at every seed, but it differs"
    # The same values of a metric that is not declared so need a test.
    monkeypatch.setattr("runner.registry.metric", lambda _: KEPT_IF_DIVERGED)
    assert standings(study(sizes, headline)) == {("cost/bytes", "arm"): "undecided"}


def test_one_seed_decides_nothing_and_promises_no_interval():
    record = study({("base", "val/loss"): [2.0], ("arm", "val/loss"): [1.0]})
    sentence = told(record)
    assert "only one seed" in sentence
    assert "In parentheses" not in sentence
    assert "1 paired seeds" not in sentence


def null_study(draw, headlines: int, arms: int) -> StudyRecord:
    """A study in which all arms are equal."""
    metrics = [f"m{i}" for i in range(headlines)]
    columns = {
        (arm, metric): draw.standard_normal(8)
        for metric in metrics
        for arm in ("base", *(f"arm{i}" for i in range(arms)))
    }
    return study(columns, [Headline(metric, "less", metric) for metric in metrics])


@pytest.mark.slow
def test_headlines_and_arms_are_one_family():
    # Of separate families of four headlines 16.5 % of such studies said a wrong word. One at 5 %
    # has fewer than 8 of 60 with a chance of 99 %.
    draw = rng(5)
    wrong = [
        any(word in ("better", "worse") for word in standings(null_study(draw, 4, 3)).values())
        for _ in range(60)
    ]
    assert sum(wrong) <= 7
    # The p-value of a comparison grows with the family that it stands in.
    columns = {("base", "val/loss"): 2 + noise(8, 0.1, 1)}
    columns["arm", "val/loss"] = columns["base", "val/loss"] + 0.05 + noise(8, 0.07, 2)
    alone = compare_headlines(record := study(columns), record.results)[0].decision.p
    many = columns | {(f"arm{i}", "val/loss"): draw.standard_normal(8) for i in range(6)}
    together = compare_headlines(record := study(many), record.results)[0].decision.p
    assert alone < together


def test_six_seeds_can_call_one_of_six_arms_worse():
    columns = {("base", "val/loss"): 2 + noise(6, 0.1, 1)}
    for i in range(5):
        columns[f"arm{i}", "val/loss"] = 2 + noise(6, 0.1, i + 2)
    columns["bad", "val/loss"] = 9 + noise(6, 0.1, 9)
    assert standings(study(columns))["val/loss", "bad"] == "worse"


def test_copies_and_controls_are_in_no_comparison():
    columns = {
        (arm, "val/loss"): 2 + noise(8, 0.1, i)
        for i, arm in enumerate(("base", "arm", "base_copy", "narrow"))
    }
    record = study(columns, offsets={"base_copy": 1000}, controls=["narrow"])
    assert record.aa_pairs == {"base_copy": "base"}
    assert set(standings(record)) == {("val/loss", "arm")}
    sentence = told(record)
    assert "narrow (" not in sentence
    assert "base_copy (" not in sentence
    assert "Two copies of base differ by" in sentence
    shown = tables.comparison_table(
        record,
        LOSS,
        compare_headlines(record, record.results),
        summarise_arms(record.results),
    )
    assert [row["words"] for row in shown["rows"]][2:] == ["A/A pair of base", "control arm"]
    rows = answer_record(record, compare_headlines(record, record.results), [])["headlines"]
    assert [row["arm"] for row in rows] == ["arm"]


def test_arms_of_other_seeds_than_the_baseline_are_never_paired(tmp_path: Path):
    columns = {
        (arm, "val/loss"): i + noise(8, 0.1, i)
        for i, arm in enumerate(("base", "arm", "lucky", "lucky_copy"))
    }
    # lucky is a copy of nothing that is computed, and its copy is one of an arm of other seeds.
    record = study(columns, offsets={"lucky": 1000, "lucky_copy": 2000})
    assert set(standings(record)) == {("val/loss", "arm")}
    shown = tables.comparison_table(record, LOSS, [], summarise_arms(record.results))
    assert [row["words"] for row in shown["rows"]][2:] == ["other seeds", "A/A pair of lucky"]
    outcome = write_report(tmp_path / "run", record)
    assert set(outcome.comparison.arm) == {"arm"}
    alone = study(
        {key: value for key, value in columns.items() if key[0] in ("base", "lucky")},
        offsets={"lucky": 1000},
    )
    assert standings(alone) == {}
    assert "better" not in told(alone)


def test_a_headline_with_a_baseline_of_its_own_compares_arms_of_the_same_data():
    own = Headline("moe/x", "less", "violation", baseline="moe")
    columns = {
        (name, "val/loss"): 2 + noise(8, 0.1, i)
        for i, name in enumerate(("dense", "moe", "even", "else"))
    }
    columns |= {(n, "moe/x"): 1 + noise(8, 0.1, 9) for n in ("moe", "else")}
    columns["even", "moe/x"] = 5 + noise(8, 0.1, 8)
    data = {name: {"data": "b" if name == "else" else "a"} for name, _ in columns}
    record = study(columns, [LOSS, own], conditions=data)
    found = standings(record)
    assert found["moe/x", "even"] == "worse"
    assert {arm for metric, arm in found if metric == "moe/x"} == {"even"}
    assert {arm for metric, arm in found if metric == "val/loss"} == {"moe", "even", "else"}
    # Without that arm the study's baseline stands in; it lacks the metric: nothing is compared.
    without = {key: value for key, value in columns.items() if key[0] != "moe"}
    record = study(without, [LOSS, own], conditions=data)
    assert {metric for metric, _ in standings(record)} == {"val/loss"}


def test_an_arm_on_another_task_has_no_row_in_the_comparison(tmp_path: Path):
    columns = {(arm, "val/loss"): 2 + noise(8, 0.1, i) for i, arm in enumerate(("base", "arm"))}
    columns["pairs", "val/loss"] = 9 + noise(8, 0.1, 7)
    tasks = {arm: {"task.kind": "pairs" if arm == "pairs" else "numbers"} for arm, _ in columns}
    outcome = write_report(tmp_path / "run", study(columns, conditions=tasks))
    assert {*outcome.comparison["arm"]} == {"arm"}
    assert {*outcome.summary["arm"]} == {"base", "arm", "pairs"}


def test_diverged_trials_are_told_with_the_limit_of_their_share_where_arms_are_trained():
    columns = {(arm, "val/loss"): 2 + values_with_sd(8, 0.1) for arm in ("base", "arm")}
    columns |= {(arm, "train/loss"): 2 + values_with_sd(8, 0.1) for arm in ("base", "arm")}
    none = "No trial diverged: with 8 trials in each arm, the rate may still be up to 37 %"
    assert none in told(study(columns))
    untrained = {key: value for key, value in columns.items() if key[1] == "val/loss"}
    assert "diverged" not in told(study(untrained))
    trials = study(columns).trials
    trials.loc[(trials.arm == "arm") & (trials.seed < 6), "status"] = "diverged"
    sentence = told(study(columns, trials=trials))
    assert "6 of 8 in arm (95 % interval of the rate: up to 97 %); 0 of 8 in base" in sentence


def test_claims_of_the_release_and_of_the_user_are_counted_apart():
    published, own = claim("p"), claim("own", published="none")
    findings = [
        Finding(published, Verdict.reproduced, "r", shipped=True),
        Finding(own, Verdict.inconclusive, "i"),
    ]
    assert verdict_counts(findings) == [
        "Verdicts on 1 published claim: 1 reproduced.",
        "Verdicts on 1 claim of your own: 1 inconclusive.",
    ]
    groups = page.card_groups(make_study(), findings)
    assert [(title, [card["id"] for card in cards]) for title, cards in groups] == [
        ("Verdicts on published claims", ["p"]),
        ("Verdicts on your own claims", ["own"]),
    ]


def test_the_comparison_holds_each_word_once_and_plain_rows_have_none():
    columns = {
        (arm, metric): 2 + noise(8, 0.1, i)
        for i, arm in enumerate(("base", "arm"))
        for metric in ("val/loss", "other")
    }
    record = study(columns)
    told_ = add_standings(
        compare_with_baseline(record.results, "base"), compare_headlines(record, record.results)
    ).set_index("metric")
    assert len(told_) == 2
    assert told_.words["val/loss"] == "no significant difference"
    assert told_.minimum_detectable_effect["val/loss"] > 0
    assert told_.loc["other", ["words", "p", "minimum_detectable_effect"]].isna().all()


@pytest.mark.parametrize(
    ("number", "word"), [(1, "better"), (2, "no significant difference"), (9, "undecided")]
)
def test_a_later_look_is_judged_more_strictly(number, word):
    """All seeds but one with a small difference agree: p = 4 / 128 is below 0.05, not 0.05 / 2."""
    differences = -np.array([3.0, 2.5, 3.5, 2.8, 3.2, 2.7, -0.1])
    columns = {("base", "val/loss"): np.zeros(7), ("arm", "val/loss"): differences}
    record = study(columns, looks=RepeatedLooks(number, [[*range(7)]] * number))
    (one,) = compare_headlines(record, record.results)
    assert one.decision.p == 4 / 128
    assert str(one.standing) == word


def test_an_arm_that_lost_one_metric_with_all_its_trials_is_named():
    """A timed trial that diverges is finished without timings: its arm has no such column."""
    columns = {
        ("base", "val/loss"): noise(8, 1, 0),
        ("base", "gqa/decode_time"): noise(8, 1, 1),
        ("x", "val/loss"): noise(8, 1, 2),
        ("y", "val/loss"): noise(8, 1, 3),
        ("y", "gqa/decode_time"): noise(8, 1, 4),
    }
    status = [("x", seed, "diverged") for seed in range(8)]
    status += [(arm, seed, "done") for arm in ("base", "y") for seed in range(8)]
    trials = pd.DataFrame(status, columns=["arm", "seed", "status"])
    timed = Headline("gqa/decode_time", "less", "decode time")
    record = study(columns, [timed], trials=trials)
    assert "x (0 of 8 seeds) is undecided against base" in told(record)
    # Where trials are done without it, the metric is none of the arm's.
    record = study(columns, [timed], trials=trials.assign(status="done"))
    assert "x" not in {arm for _, arm in standings(record)}


def test_parameters_are_told_beside_the_cost_that_was_matched():
    columns = {("base", "val/loss"): noise(8, 1, 0), ("x", "val/loss"): noise(8, 0.1, 1) - 9}
    costs = {
        "base": {"params": 100.0, "kv_bytes": 8.0},
        "x": {"params": 1000.0, "kv_bytes": 8.0},
    }
    conditions = {arm: {"match.by": "kv_bytes"} for arm in costs}
    record = study(columns, costs=costs, conditions=conditions)
    (one,) = compare_headlines(record, record.results)
    equal = "at equal bytes of keys and values a token"
    assert one.words == f"better, {equal} and 10.0 x the parameters"
    assert f"{equal}; it has 10.0 x the parameters." in told(record)


def test_an_answer_without_headlines_says_so():
    record = study({("base", "val/loss"): noise(8, 1, 0)}, headline=())
    assert told(record).startswith("The experiment names no headline metric")
    assert answer_record(record, [], [])["sentence"].startswith(
        "The experiment names no headline metric"
    )


def test_published_claims_under_other_settings_are_counted_as_such():
    shipped = Finding(claim(), Verdict.reproduced, "", shipped=True)
    (line,) = verdict_counts([shipped], ["training.steps=20"])
    assert line == (
        "Verdicts on 1 published claim, under settings that you changed (training.steps=20): "
        "1 reproduced."
    )
    assert "settings" not in verdict_counts([Finding(claim(), Verdict.reproduced, "")], ["a=1"])[0]


def test_what_rounding_leaves_is_no_difference():
    same = np.full(8, 1 / 3)
    record = study({("base", "val/loss"): same, ("x", "val/loss"): same * (1 + 1e-15)})
    assert standings(record) == {("val/loss", "x"): "no significant difference"}
