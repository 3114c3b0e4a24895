"""Losses per token of two vocabularies are never subtracted; losses per byte are compared."""

import dataclasses
import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from runner.claims.evidence import Evidence, InvalidClaimError
from runner.claims.headline import Headline
from runner.report.comparable_units import displayed_headlines, use_comparable_metrics
from runner.report.console import render_console
from runner.report.headlines import compare_headlines
from runner.report.report_files import write_report
from runner.report.study_record import StudyRecord
from runner.report.tables import comparison_table
from runner.stats.comparison import compare_with_baseline, summarise_arms
from tests.support.sample_study import make_results, make_study

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


def test_losses_per_token_of_one_vocabulary_are_shown_per_byte_and_not_tested_again():
    study = use_comparable_metrics(study_of(dict.fromkeys(UNITS, "nats/token of 300")))
    assert study.headline == [LOSS]
    loss, per_byte = displayed_headlines(study)
    assert (loss, per_byte.metric) == (LOSS, "val/nats_per_byte")
    compared = compare_headlines(study, study.results)
    assert {one.headline for one in compared} == {LOSS}
    table = comparison_table(study, per_byte, compared, summarise_arms(study.results))
    assert (table["title"], table["unit"]) == ("Held-out loss per byte", "nats/byte")
    assert [row["arm"] for row in table["rows"]] == list(UNITS)
    assert not table["has_difference"]
    assert not table["has_p"]


def test_two_headlines_on_one_loss_have_one_table_of_losses_per_byte():
    study = study_of(dict.fromkeys(UNITS, "nats/token of 300"))
    again = dataclasses.replace(LOSS, label="held-out loss against small", baseline="small")
    study = use_comparable_metrics(dataclasses.replace(study, headline=[LOSS, again]))
    assert [one.metric for one in displayed_headlines(study)] == [
        *("val/loss", "val/nats_per_byte", "val/loss")
    ]


def test_page_and_terminal_show_losses_per_byte(tmp_path: Path):
    results = make_results()
    loss = results[results["metric"] == "val/loss"]
    per_byte = loss.assign(metric="val/nats_per_byte", value=loss["value"] / 3, unit="nats/byte")
    per_token = results.assign(
        unit=results["unit"].where(results["metric"] != "val/loss", "nats/token of 300")
    )
    study = make_study(results=pd.concat([per_token, per_byte]), figures={}, claims=[])
    outcome = write_report(tmp_path / "run", study)
    assert "Validation loss per byte (nats/byte)" in outcome.report_path.read_text()
    out = io.StringIO()
    Console(width=100, file=out).print(render_console(study, outcome))
    assert "validation loss per byte (nats/byte), lower is better" in out.getvalue()


@pytest.mark.parametrize("units", [dict.fromkeys(UNITS, "nats/byte"), UNITS])
def test_losses_per_byte_are_shown_once(units: dict[str, str]):
    study = use_comparable_metrics(study_of(units))
    assert displayed_headlines(study) == study.headline


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
