"""Losses per token of two vocabularies are never subtracted; losses per byte are compared."""

import dataclasses

import pandas as pd
import pytest

from runner.claims.evidence import Evidence, InvalidClaimError
from runner.claims.headline import Headline
from runner.report.comparable_units import use_comparable_metrics
from runner.report.headlines import compare_headlines
from runner.report.study_record import StudyRecord
from runner.report.tables import comparison_table
from runner.stats.comparison import compare_with_baseline, summarise_arms

UNITS = {"raw": "nats/byte", "small": "nats/token of 300", "large": "nats/token of 400"}
LOSS = Headline("val/loss", "less", "held-out loss")


def study_of(units: dict[str, str], *, per_byte: bool = True) -> StudyRecord:
    rows = []
    for index, (arm, unit) in enumerate(units.items()):
        for seed in range(8):
            loss = 2 + index + seed / 100 + (seed % 3) * index / 1000
            rows.append((arm, seed, "val/loss", loss, unit))
            if per_byte:
                rows.append((arm, seed, "val/nats_per_byte", loss / (1 + index), "nats/byte"))
    results = pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])
    trials = pd.DataFrame(
        [{"arm": arm, "seed": seed, "status": "done"} for arm in units for seed in range(8)]
    )
    return StudyRecord(
        experiment="ffn",
        question="?",
        scale="quick",
        command="",
        arms={arm: [] for arm in units},
        baseline="raw",
        headline=[LOSS],
        results=results,
        history=pd.DataFrame(),
        trials=trials,
        config_yaml="",
        environment={},
    )


def test_the_answer_is_about_losses_per_byte_where_units_differ():
    study = use_comparable_metrics(study_of(UNITS))
    (headline,) = study.headline
    assert headline == dataclasses.replace(
        LOSS, metric="val/nats_per_byte", label="held-out loss per byte"
    )
    (note,) = study.notes
    assert note == (
        "val/loss has other units in other arms (nats/byte: raw; nats/token of 300: small; "
        "nats/token of 400: large) and is not compared; the answer is about val/nats_per_byte"
    )
    compared = compare_headlines(study, study.results)
    assert [one.arm for one in compared] == ["small", "large"]
    assert {one.unit for one in compared} == {"nats/byte"}


def test_equal_units_change_nothing():
    study = study_of(dict.fromkeys(UNITS, "nats/byte"))
    assert use_comparable_metrics(study) is study


def test_another_headline_on_losses_per_byte_is_not_doubled():
    own = Headline("val/nats_per_byte", "less", "loss per byte")
    study = use_comparable_metrics(dataclasses.replace(study_of(UNITS), headline=[LOSS, own]))
    assert study.headline == [own]


def test_without_losses_per_byte_arms_of_another_unit_are_left_out():
    units = {**UNITS, "same": "nats/byte"}
    study = use_comparable_metrics(study_of(units, per_byte=False))
    assert study.headline == [LOSS]
    assert study.notes[0].endswith("and is not compared between them")
    compared = compare_headlines(study, study.results)
    assert [one.arm for one in compared] == ["same"]
    table = comparison_table(study, LOSS, compared, summarise_arms(study.results))
    assert [row["arm"] for row in table["rows"]] == ["raw", "same"]
    assert table["unit"] == "nats/byte"


def test_arms_of_another_task_do_not_count():
    units = {"raw": "nats/byte", "other": "mse"}
    study = dataclasses.replace(
        study_of(units),
        conditions={"raw": {"task.kind": "text"}, "other": {"task.kind": "waves"}},
    )
    assert use_comparable_metrics(study) is study


def test_the_table_of_all_metrics_has_no_difference_of_two_units():
    results = study_of({**UNITS, "same": "nats/byte"}).results
    table = compare_with_baseline(results, "raw")
    of_loss = table[table.metric == "val/loss"]
    assert of_loss.arm.tolist() == ["same"]
    assert of_loss.unit.tolist() == ["nats/byte"]
    assert table[table.metric == "val/nats_per_byte"].arm.tolist() == ["small", "large", "same"]


def test_a_claim_on_two_units_is_invalid():
    study = study_of(UNITS)
    evidence = Evidence(study.results, study.trials)
    with pytest.raises(InvalidClaimError, match=r"val/loss has different units: .* of 'small', "):
        evidence.seed_values([("small", "val/loss"), ("raw", "val/loss")], 8)
    both = [("small", "val/nats_per_byte"), ("raw", "val/nats_per_byte")]
    assert evidence.seed_values(both, 8).n == 8
