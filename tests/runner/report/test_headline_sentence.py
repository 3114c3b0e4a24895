"""The sentences of a headline: one case a rule, on studies with known differences."""

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest

from runner.claims.headline import Headline
from runner.metric_names import DivergedValue, Metric
from runner.report import headline_sentence
from runner.report.answer import answer_record, how_sure, sentences
from runner.report.headlines import compare_headlines
from runner.report.study_record import StudyRecord
from runner.report.tables import comparison_table
from runner.stats.comparison import summarise_arms
from tests.runner.report.test_answer import study

STEPS = np.arange(8) / 1000  # the spread of eight seeds
LOSS = Headline("val/loss", "less", "held-out loss", subject="new")
MATCHED = {arm: {"match.by": "active_params"} for arm in ("base", "new")}


def arms(**shifts: float) -> dict[tuple[str, str], Any]:
    """Return held-out losses of 2 in the baseline, and of 2 plus a shift in each other arm."""
    columns = {("base", "val/loss"): 2 + 3 * STEPS}
    for arm, shift in shifts.items():
        columns[arm, "val/loss"] = 2 + shift + 3 * STEPS + STEPS * (-1) ** np.arange(8)
    return columns


def said(record: StudyRecord) -> str:
    """Return all sentences of the headlines."""
    return " ".join(sentences(record, compare_headlines(record, record.results)))


@pytest.mark.parametrize(
    ("shift", "yes", "begins"),
    [
        (-0.02, "better", "Yes, a little: in held-out loss, new is better than base by 0.0"),
        (-0.2, "better", "Yes: in held-out loss, new is better than base by 0.2"),
        (-0.6, "better", "Yes, a lot: in held-out loss, new is better than base by 0.6"),
        (0.6, "better", "No: the opposite. In held-out loss, new is worse than base by 0.6"),
        (0.2, "worse", "Yes: held-out loss is higher in new than in base by 0.2"),
        (-0.2, "worse", "No: the opposite. Held-out loss is lower in new than in base by 0.2"),
        (0.2, "different", "Yes: held-out loss is higher in new than in base"),
        (0.0, "better", "Not shown: in held-out loss, new does not differ significantly from base"),
        (0.0, "different", "Not shown: in held-out loss, new does not differ significantly"),
    ],
)
def test_the_answer_to_the_title(shift: float, yes: Any, begins: str):
    headline = dataclasses.replace(LOSS, yes_if=yes)
    assert said(study(arms(new=shift), [headline])).startswith(begins)


def test_a_loss_that_may_be_negative_has_no_share_of_its_mean():
    """2 % of a log density of -3, or of a mean near 0, says nothing about a difference."""
    columns = {key: values - 2 for key, values in arms(new=-0.02).items()}
    for lowest, begins in ((0.0, "Yes, a lot: "), (-math.inf, "Yes: ")):
        declared = {"val/loss": Metric(DivergedValue.start, lowest=lowest)}
        record = study(columns, [LOSS], metric_declarations=declared)
        assert said(record).startswith(begins)


def test_amounts_are_positive_and_their_intervals_turn_with_them():
    better, worse = (said(study(arms(new=shift), [LOSS])) for shift in (-0.2, 0.2))
    assert "by 0.200 nats [0.197, 0.204]" in better
    assert "by 0.200 nats [0.196, 0.203]" in worse
    assert "[-" not in better + worse


def test_a_difference_that_is_not_shown_has_its_smallest_detectable_difference():
    text = said(study(arms(new=0.0), [LOSS]))
    assert "smallest detectable difference 0.00" in text
    assert "better" not in text
    assert "worse" not in text


@pytest.mark.parametrize(
    ("n", "reason"), [(1, "only one seed"), (2, "2 seeds cannot reach p < 0.05; 6 could")]
)
def test_too_few_seeds_are_undecided(n: int, reason: str):
    columns = {key: values[:n] for key, values in arms(new=-0.6).items()}
    text = said(study(columns, [LOSS]))
    assert text.startswith("Undecided: in held-out loss, new (")
    assert f"{reason}) is undecided against base" in text
    assert "better" not in text


def test_exact_counts_are_yes_or_no():
    size = Headline("cost/bytes", "less", "size of the cache", subject="new")
    values = {("base", "cost/bytes"): [2.0**24] * 2, ("new", "cost/bytes"): [2.0**22] * 2}
    record = study(values, [size])
    results = record.results.assign(unit="bytes")
    record = dataclasses.replace(record, results=results)
    assert said(record) == "Yes, a lot: in size of the cache, new is better than base by 12 MiB."
    equal = study({key: [5.0] * 2 for key in values}, [size])
    assert said(equal) == "No: in size of the cache, new is equal to base."


def test_costs_stand_in_the_first_sentence_on_an_arm():
    other = Headline("other", "less", "another loss", subject="new")
    columns = arms(new=-0.2) | {
        (arm, "other"): values for (arm, _), values in arms(new=-0.2).items()
    }
    columns |= {
        ("base", "time/step"): np.full(8, 0.010) + STEPS / 1000,
        ("new", "time/step"): np.full(8, 0.015) + STEPS / 1000,
    }
    costs = {
        "base": {"active_params": 100.0, "params": 100.0},
        "new": {"active_params": 100.0, "params": 300.0},
    }
    record = study(columns, [LOSS, other], conditions=MATCHED, costs=costs)
    first, second = sentences(record, compare_headlines(record, record.results))
    facts = "it has 3.0 x the parameters and takes about 1.5 x the time a step."
    assert first.endswith(f"at equal active parameters; {facts}")
    assert second.endswith("at equal active parameters.")
    # Times of different machines are not compared.
    trials = record.trials.assign(
        machine=[{"id": "ab"[seed % 2]} for seed in record.trials["seed"]]
    )
    mixed = dataclasses.replace(record, trials=trials)
    assert "time a step" not in said(mixed)


def test_an_unknown_cost_is_not_called_equal():
    for costs in ({}, {"base": {"active_params": 100.0}}):
        text = said(study(arms(new=-0.2), [LOSS], conditions=MATCHED, costs=costs))
        assert "parameters" not in text


@pytest.mark.parametrize(("ratio", "number"), [(1.52, "1.5"), (104, "104"), (2500, "2,500")])
def test_a_ratio_of_times_is_a_plain_number(ratio: float, number: str):
    columns = arms(new=-0.2) | {
        ("base", "time/step"): np.full(8, 0.010),
        ("new", "time/step"): np.full(8, 0.010 * ratio),
    }
    assert f"takes about {number} x the time a step" in said(study(columns, [LOSS]))


@pytest.mark.parametrize(("seconds", "said_ratio"), [(0.010, ""), (0.015, "about 1.5 x")])
def test_a_few_seeds_of_a_busy_machine_do_not_change_the_ratio_of_times(
    seconds: float, said_ratio: str
):
    base, new = np.full(8, 0.010), np.full(8, seconds)
    base[:3] *= 4
    new[0] *= 5
    columns = arms(new=-0.2) | {("base", "time/step"): base, ("new", "time/step"): new}
    text = said(study(columns, [LOSS]))
    assert said_ratio in text
    assert ("time a step" in text) == bool(said_ratio)


def test_an_unmatched_arm_has_its_cost_in_the_sentence():
    costs = {"base": {"params": 100.0}, "new": {"params": 124.4}}
    record = study(arms(new=-0.2), [LOSS], costs=costs)
    assert "at 24.4 % more parameters" in said(record)


def test_copies_are_amounts_and_never_results():
    columns = arms(new=-0.2)
    columns["new_copy", "val/loss"] = columns["new", "val/loss"][::-1]
    columns["low", "val/loss"] = columns["new", "val/loss"] + 5
    record = study(columns, [LOSS], offsets={"new_copy": 1000}, controls=["low"])
    assert re.search(r"Two copies of new differ by [\d.]+ \[-?[\d.]+, [\d.]+\]\.$", said(record))
    more = "The two arms of an A/A pair share no seeds, so they vary more than arms of one seed."
    compared = compare_headlines(record, record.results)
    assert more in how_sure(record, compared)
    moved = record.results.assign(
        value=record.results["value"] + 0.01 * (record.results["arm"] == "new_copy")
    )
    text = said(dataclasses.replace(record, results=moved))
    assert "Two copies of new differ by 0.010 [-" in text
    assert "new_copy" not in text
    assert "low is" not in text


def test_copies_that_differ_more_than_chance_explains_are_said():
    columns = arms(new=-0.2)
    columns["new_copy", "val/loss"] = columns["new", "val/loss"] + 0.5 + STEPS
    record = study(columns, [LOSS], offsets={"new_copy": 1000})
    assert "the interval excludes 0, which chance does in 5 % of studies." in said(record)


def test_many_arms_are_grouped_and_counted():
    headline = dataclasses.replace(LOSS, subject=None)
    text = said(study(arms(a=-0.2, b=-0.3, c=-0.4, d=-0.5, e=0.0, f=0.3), [headline]))
    assert text.startswith("Held-out loss: b (by 0.3")
    assert "and 1 more arm are better than base; f is worse than base by 0.2" in text
    assert "; e does not differ significantly from base (" in text
    assert " a (" not in text


def test_arms_of_other_settings_are_named_with_them():
    conditions = {
        "base": {"training.steps": 20},
        "a": {"training.steps": 40},
        "b": {"training.steps": 40},
        "c": {"training.steps": 80},
    }
    headline = dataclasses.replace(LOSS, subject=None)
    text = said(study(arms(a=-0.2, b=0.2, c=0.2), [headline], conditions=conditions))
    assert (
        "a (better) and b (worse) also differ from base in training.steps (40 against 20)." in text
    )
    assert "it also differs in training.steps (80 against 20)." in text


def test_arms_of_another_task_are_never_compared():
    columns = arms(new=-0.2, pairs=-1.5)
    conditions = {
        arm: {"task.kind": "pairs15" if arm == "pairs" else "numbers"}
        for arm in ("base", "new", "pairs")
    }
    record = study(columns, [LOSS], conditions=conditions)
    assert {one.arm for one in compare_headlines(record, record.results)} == {"new"}
    assert "on another task and therefore not compared." in said(record)
    alone = study(arms(pairs=-1.5), [LOSS], conditions=conditions)
    assert compare_headlines(alone, alone.results) == []
    assert "over 8 seeds." in said(alone)
    assert "Arms on different tasks are not compared." in how_sure(alone, [])


def test_one_arm_has_its_level_and_its_misses():
    exact = Headline("exact", "greater", "exact match")
    declared = {"exact": Metric(DivergedValue.kept, highest=1.0)}
    values = {("base", "exact"): [1.0] * 7 + [0.5]}
    record = study(values, [exact], metric_declarations=declared)
    assert "1 of 8 seeds misses 1), over 8 seeds." in said(record)
    all_right = study({("base", "exact"): [1.0] * 2}, [exact], metric_declarations=declared)
    assert (
        said(all_right)
        == "Exact match: base 1 (every seed reaches the best possible value), over 2 seeds."
    )
    none_right = study({("base", "exact"): [0.5, 0.6]}, [exact], metric_declarations=declared)
    assert "miss" not in said(none_right)


def test_the_answer_is_data_too():
    record = study(arms(new=-0.02), [LOSS])
    (one,) = answer_record(record, compare_headlines(record, record.results), [])["answers"]
    expected = {"metric": "val/loss", "subject": "new", "answer": "yes", "size": "a little"}
    assert one == expected


def test_headlines_of_a_subject_come_first():
    plain = Headline("other", "less", "another loss")
    columns = arms(new=-0.2) | {
        (arm, "other"): values for (arm, _), values in arms(new=-0.2).items()
    }
    record = study(columns, [plain, LOSS])
    first, second = sentences(record, compare_headlines(record, record.results))
    assert first.startswith("Yes")
    assert second.startswith("Another loss: ")


def doubled(columns: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    """Return the columns, and the same values again as the metric `other`."""
    return columns | {(arm, "other"): values for (arm, _), values in columns.items()}


def test_costs_stand_in_the_headline_that_is_printed_first():
    plain = Headline("other", "less", "another loss")
    costs = {"base": {"params": 100.0}, "new": {"params": 150.0}}
    record = study(doubled(arms(new=-0.2)), [plain, LOSS], costs=costs)
    first, second = sentences(record, compare_headlines(record, record.results))
    assert first.startswith("Yes")
    assert "at 50 % more parameters" in first
    assert "parameters" not in second


def test_a_headline_with_its_own_baseline_has_its_own_costs():
    plain = Headline("other", "less", "another loss", baseline="old")
    costs = {"base": {"params": 100.0}, "old": {"params": 100.0}, "new": {"params": 150.0}}
    record = study(doubled(arms(old=0.1, new=-0.2)), [LOSS, plain], costs=costs)
    first, second = sentences(record, compare_headlines(record, record.results))
    assert "at 50 % more parameters" in first
    assert "new (by 0.300, at 50 % more parameters) are better than old" in second


def test_other_settings_are_above_only_if_they_are_printed_above():
    headlines = [
        dataclasses.replace(LOSS, subject=None),
        Headline("other", "less", "another loss"),
    ]
    conditions = {"base": {"options.probe.n": 1}, "new": {"options.probe.n": 2}}
    columns = doubled(arms(new=-0.2))
    record = study(columns, headlines, conditions=conditions, affects={"probe.n": ("other",)})
    first, second = sentences(record, compare_headlines(record, record.results))
    assert "probe.n" not in first
    assert "it also differs in options.probe.n (2 against 1)." in second
    assert "above" not in second
    everywhere = study(columns, headlines, conditions=conditions)
    first, second = sentences(everywhere, compare_headlines(everywhere, everywhere.results))
    assert "options.probe.n (2 against 1)" in first
    assert "With the other settings above, new is better by" in second


def test_equal_values_under_every_seed_are_said():
    equal = {("base", "val/loss"): 2 + 3 * STEPS, ("new", "val/loss"): 2 + 3 * STEPS}
    assert said(study(equal, [LOSS])) == (
        "Not shown: in held-out loss, new is equal to base under every seed."
    )
    record = study(equal, [LOSS])
    compared = compare_headlines(record, record.results)
    table = comparison_table(record, LOSS, compared, summarise_arms(record.results))
    assert table["rows"][1]["words"] == "no significant difference (equal under every seed)"
    assert table["detectable"] == []
    plain = dataclasses.replace(LOSS, subject=None)
    more = equal | {("b", "val/loss"): 2 + 3 * STEPS, ("c", "val/loss"): arms(c=0)["c", "val/loss"]}
    text = said(study(more, [plain]))
    assert "new and b are equal to base under every seed." in text
    assert "c does not differ significantly from base (" in text


def test_a_small_amount_has_a_unit_in_which_it_can_be_read():
    size = Headline("memory", "less", "memory", subject="new")
    values = {
        ("base", "memory"): 2.0**20 + 1000 * STEPS,
        ("new", "memory"): 2.0**20 + 6.5 + 1000 * STEPS,
    }
    record = study(values, [size])
    record = dataclasses.replace(record, results=record.results.assign(unit="bytes"))
    (row,) = compare_headlines(record, record.results)
    assert row.display.name == "MiB"
    assert "new is worse than base by 6.50 bytes" in said(record)


def test_an_interval_ends_at_the_limits_of_its_metric():
    exact = Headline("exact", "greater", "exact match")
    declared = {"exact": Metric(DivergedValue.kept, lowest=0.0, highest=1.0)}
    values = {("base", "exact"): [1.0, 1.0, 0.9], ("new", "exact"): [0.0, 0.05, 0.0]}
    one_arm = {("base", "exact"): values["base", "exact"]}
    assert "base 97 % [82, 100]" in said(study(one_arm, [exact], metric_declarations=declared))
    record = study(values, [exact], metric_declarations=declared)
    compared = compare_headlines(record, record.results)
    table = comparison_table(record, exact, compared, summarise_arms(record.results))
    assert [row["value"] for row in table["rows"]] == [
        "0.9667 [0.823, 1.000]",
        "0.01667 [0.00000, 0.08838]",
    ]


def test_an_infinite_value_in_a_copy_loses_its_seed_only():
    columns = arms(new=-0.2)
    columns["new_copy", "val/loss"] = columns["new", "val/loss"][::-1].copy()
    columns["new_copy", "val/loss"][0] = np.inf
    text = said(study(columns, [LOSS], offsets={"new_copy": 1000}))
    assert "Two copies of new differ by" in text
    assert "(7 of 8 seeds)" in text


def test_an_absent_subject_leaves_a_plain_sentence():
    record = study(arms(other=-0.2), [LOSS])
    assert said(record).startswith("Held-out loss: other is better than base by")


def test_limits_of_size_words_are_in_the_documentation():
    from tests.support.environment import ROOT

    text = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
    assert f"below {100 * headline_sentence.A_LITTLE:.0f} %" in text
    assert f"above {100 * headline_sentence.A_LOT:.0f} %" in text
