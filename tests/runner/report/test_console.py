"""The summary in the terminal: every value whole, and never wider than the terminal."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from runner.claims.finding import Finding, Verdict
from runner.claims.headline import Headline
from runner.report.console import HeadlineTable, headline_table, join_empty, render_console
from runner.report.outcome import Outcome
from runner.report.report_files import write_report
from runner.stats.comparison import summarise_arms
from tests.support.claim_tables import claim
from tests.support.sample_study import make_study

LONG = "no significant difference; it also differs in training.lr (0.01 against 0.003) and "
NAMES = [f"post_hot_cold_with_name_{number}" for number in range(12)]
HEAD = ("arm", "mean [95 %]", "minus pre [95 %]", "result")


def printed(content: RenderableType, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(content, crop=False)
    return out.getvalue()


def table(names: list[str], results: list[str], differences: list[str] | None = None) -> str:
    differences = differences or ["+0.805 [0.664, 0.946]"] * len(names)
    rows = [
        (name, "3.232 [3.187, 3.276]", difference, result)
        for name, difference, result in zip(names, differences, results, strict=True)
    ]
    return printed(HeadlineTable(HEAD, rows, [""] * len(rows)), 80)


@pytest.mark.parametrize("names", [["pre", "post"], NAMES, [f"a{'b' * 78}{n}" for n in range(3)]])
@pytest.mark.parametrize("result", ["worse", LONG + "training.warmup_steps (0 against 5)", ""])
def test_a_table_fits_80_columns_and_breaks_no_value(names: list[str], result: str):
    text = table(names, [result] * len(names))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("3.232 [3.187, 3.276]") == len(names)
    assert text.count("+0.805 [0.664, 0.946]") == len(names)
    assert all(re.search(rf"(^|\s){name}\b", text) for name in names)
    assert "…" not in text
    for word in ("training.warmup_steps", "significant"):
        assert text.count(word) == result.count(word) * len(names)


def test_a_short_table_has_a_column_of_results_and_a_long_result_is_below_its_arm():
    lines = [line.strip() for line in table(["pre", "post"], ["baseline", "worse"]).splitlines()]
    assert lines[1].split() == ["arm", "mean", "[95", "%]", "minus", "pre", "[95", "%]", "result"]
    assert any(line.endswith("worse") for line in lines)
    names, difference = ["pre_with_a_name", "post_with_a_name"], "+0.1123 [0.1012, 0.2234]"
    lines = table(names, ["baseline", LONG + "x"], ["", difference]).splitlines()
    assert lines[2] == "pre_with_a_name   3.232 [3.187, 3.276]  baseline"
    assert lines[3] == f"post_with_a_name  3.232 [3.187, 3.276]  {difference}"
    assert lines[4].startswith("  no significant difference")


def test_columns_without_a_cell_are_left_out():
    text = table(["pre", "post"], ["", ""], ["", ""])
    assert "minus" not in text
    assert "result" not in text


@pytest.mark.parametrize("width", [1, 2, 5, 20])
def test_a_narrow_terminal_gets_every_value(width: int):
    rows = [("pre", "3.2 [3, 4]", "", "baseline"), ("post", "3.6 [3, 4]", "+1 [0, 2]", "worse")]
    text = printed(HeadlineTable(HEAD, rows, ["", ""]), width)
    assert "postmean:3.6[3,4]minuspre:+1[0,2]worse" in "".join(text.split())


def test_a_headline_without_values_has_no_table_and_one_warning(tmp_path: Path):
    study = make_study(
        headline=[
            Headline("val/loss", "less", "validation loss"),
            Headline("no/such", "less", "load violation"),
        ],
        claims=[],
        figures={},
    )
    outcome = write_report(tmp_path / "run", study)
    text = printed(render_console(study, outcome), 80)
    assert "validation loss" in text
    assert "load violation, lower is better" not in text
    assert text.count("warning:") == 1
    assert "no trial recorded the metric no/such" in text
    assert headline_table(study, {"rows": []}) is None


def test_a_verdict_has_the_words_of_the_page():
    study = make_study(headline=[Headline("val/loss", "less", "held-out loss")])
    keys = {"published_is": "same quantity"}
    known = Finding(claim("C1", **keys), verdict=Verdict.reproduced, reason="val/loss is less")
    outcome = Outcome(
        report_path=Path("report.html"),
        findings=[known],
        comparisons=[],
        comparison=study.results.head(0),
        answer=[],
        summary=summarise_arms(study.results),
        warnings=[],
        seconds=0.0,
    )
    text = printed(render_console(study, outcome), 80)
    assert "C1  reproduced (direction): held-out loss is less" in text


def test_all_that_has_no_value_is_one_warning():
    empty = [
        "no trial recorded the metric moe/max",
        "figure balance was skipped: no finite value of a metric like 'moe/max' in arms ['a']",
        "figure usage was skipped: no finite value of a metric like 'moe/max' in arms ['a']",
        "figure usage was skipped: no finite value of a metric like 'moe/max' in arms ['a']",
        "a trial spiked",
        "figure loss could not be drawn: ValueError",
    ]
    assert join_empty(empty) == [
        "no trial recorded the metric moe/max; 2 figures have no values: balance, usage",
        "a trial spiked",
        "figure loss could not be drawn: ValueError",
    ]
    assert join_empty(empty[1:2]) == empty[1:2]
    assert join_empty([]) == []
