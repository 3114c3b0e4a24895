"""Sample rows reach the page and TensorBoard as tables, with nothing of them taken for markup."""

import warnings
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runner.figures.data import CannotDrawError, Records
from runner.figures.draw import draw_all
from runner.figures.figure import TextTable
from runner.figures.kinds import read_figure
from runner.figures.kinds.samples import Samples
from runner.report.report_files import write_report
from tests.support.sample_study import make_study
from tests.support.sample_tables import FIGURES, make_records

EVIL = "<script>alert(1)</script> **bold** [a](http://b) `c` | 日本"
SAMPLES = Samples.from_mapping({k: v for k, v in FIGURES["sentences"].items() if k != "kind"})


def as_tensorboard_shows(text: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a library inside TensorBoard
        from tensorboard.plugin_util import markdown_to_safe_html
    return str(markdown_to_safe_html(text))


@pytest.fixture
def records() -> Records:
    return make_records()


def test_the_first_rows_of_the_first_seed_of_each_arm(records: Records) -> None:
    made = SAMPLES.draw(records)
    assert made.head == ["arm", "source", "expected", "predicted", "ok"]
    assert [row[0] for row in made.rows] == ["naive"] * 3 + ["tiled"] * 3 + ["fused"] * 3
    assert made.rows[0] == ["naive", "one of seed 0", "一", "一", True]
    assert made.rows[2][-1] is False
    assert made.note == "The first 3 of 4 rows of the first seed of each arm."
    whole = replace(SAMPLES, rows=20, arms=["tiled"]).draw(records)
    assert whole.note == "All rows of the first seed of tiled."


def test_arms_of_different_lengths_are_counted(records: Records) -> None:
    samples = records.tables["samples"].drop(0)
    made = replace(SAMPLES, rows=3).draw(replace(records, tables={"samples": samples}))
    assert made.note.endswith("naive has 3, tiled has 4, fused has 4.")


def test_truth_values_are_found_among_texts_too(records: Records) -> None:
    mixed = pd.DataFrame({"arm": "naive", "seed": 0, "ok": ["True", "False", "", "1.5"]})
    figure = read_figure("sentences", {**FIGURES["sentences"], "columns": ["ok"], "rows": 9})
    made = figure.draw(replace(records, tables={"samples": mixed}))
    assert isinstance(made, TextTable)
    assert made.rows == [[True], [False], [""], ["1.5"]]


def test_what_is_missing_is_one_line(records: Records) -> None:
    _, sheets, (line,) = draw_all({"s": SAMPLES}, replace(records, tables={}))
    assert not sheets
    assert "figure s was skipped: no trial has recorded a table" in line
    with pytest.raises(CannotDrawError, match="has no column"):
        replace(SAMPLES, columns=["source", "chrf"]).draw(records)


def test_page_and_tensorboard_show_texts_as_they_are(tmp_path: Path) -> None:
    rows = [
        {"source": EVIL, "expected": "二 <b>", "predicted": "a\nb", "ok": ok}
        for ok in (True, False)
    ]
    samples = pd.DataFrame([{"arm": "dense", "seed": 0, **row} for row in rows])
    study = make_study(
        figures={"sentences": SAMPLES},
        history=make_study().history.head(0),
        tables={"samples": samples},
    )
    outcome = write_report(tmp_path / "run", study)
    assert not any("sentences" in line for line in outcome.warnings)
    page = outcome.report_path.read_text()
    assert page.count("<script") == 1  # the page's own
    assert "&lt;script&gt;alert(1)&lt;/script&gt; **bold**" in page
    assert "二 &lt;b&gt;" in page
    assert page.count('<span class="unseen">yes</span>') == 1
    assert page.count('<span class="unseen">no</span>') == 1
    assert "All rows of the first seed of dense." in page
    assert {path.stem for path in (tmp_path / "run").glob("figures/*.*g")} == {"differences"}
    events = EventAccumulator(str(tmp_path / "run" / "tb")).Reload()
    text = events.Tensors("samples/sentences")[0].tensor_proto.string_val[0].decode()
    html = as_tensorboard_shows(text)
    assert html.count("<tr>") == 1 + 2
    assert "&lt;script&gt;alert(1)&lt;/script&gt; **bold** [a](http://b) `c` | 日本" in html
    assert not any(tag in html for tag in ("<script", "<b>", "<code", "<a "))
    assert html.count("<strong>") == 1  # the title
    assert "✓ yes" in html
    assert "✗ no" in html


def test_a_study_whose_table_is_missing_is_still_reported(tmp_path: Path) -> None:
    study = make_study(figures={"sentences": SAMPLES}, history=make_study().history.head(0))
    outcome = write_report(tmp_path / "run", study)
    assert any("figure sentences was skipped" in line for line in outcome.warnings)
