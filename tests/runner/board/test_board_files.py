"""The committed board is that of the committed records; its texts are escaped and complete."""

import re

import pytest

from runner.board.board_markdown import BEGIN, END, render_head, render_markdown, replace_head
from runner.board.board_page import render_board_page
from runner.board.known_claims import list_known_claims
from runner.board.record_file import read_records
from runner.board.rows import make_rows
from tests.support.board_records import make_claim, make_record
from tests.support.environment import ROOT

RECORDS = ROOT / "docs" / "board" / "records"
ADVICE = "run `python -m runner board` without --config-dir and commit its files"


def test_the_committed_board_is_that_of_the_records() -> None:
    records = read_records(RECORDS)
    rows = make_rows(list_known_claims(with_user=False), records)
    docs = ROOT / "docs"
    assert (docs / "board.md").read_text(encoding="utf-8") == render_markdown(rows, records), ADVICE
    assert (docs / "board.html").read_text(encoding="utf-8") == render_board_page(rows, records)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert BEGIN in readme
    assert replace_head(readme, render_head(rows)) == readme, ADVICE


def test_records_name_no_path_no_user_and_no_computer() -> None:
    for path in sorted(RECORDS.glob("*.json")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.:/])/(?:home|root|tmp|work|Users)\b", text), path.name
        assert not re.search(r'"(?:id|hostname|user|kernel)": "(?!\w+\.)', text), path.name


def test_every_row_shows_published_value_ours_verdict_date_machine_and_command() -> None:
    run = make_record(make_claim(), make_claim(id="M1.mixture_beats_dense", verdict="invalid"))
    rows = make_rows(list_known_claims(), [run])
    table = render_markdown(rows, [run])
    (line,) = (line for line in table.splitlines() if "`M2.balance_loss_balances`" in line)
    for text in (
        *("| reproduced |", "MaxVio 0.72", "+0.375 [0.208, 0.542], 8 seeds; detectable: 0.24"),
        *("quick, 2026-11-26, Some CPU, 2 cores, 23.5 GiB, commit f0bcffa", "`python -m runner"),
    ):
        assert text in line
    (contested,) = (line for line in table.splitlines() if "`G3.mqa_costs_quality`:" in line)
    assert "MMLU 37.9 (MQA)" in contested
    assert "**contested**: hardly any cost: BLEU 26.5" in contested
    assert all(line.count(" | ") == 5 for line in table.splitlines() if line.startswith("| never"))
    (invalid,) = (line for line in table.splitlines() if "`M1.mixture_beats_dense`" in line)
    assert "| invalid |" in invalid
    assert run.claims[1].reason in invalid


def test_texts_of_records_are_escaped() -> None:
    evil = "<script>alert(1)</script> | `x`"
    run = make_record(make_claim(id="X.own", statement=evil, reason=evil, verdict="invalid"))
    rows = make_rows([], [run])
    page = render_board_page(rows, [run])
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "http" not in page.replace("http-equiv", "")
    table = render_markdown(rows, [run])
    assert "<script>" not in table
    assert "\\| `x`" in table


@pytest.mark.parametrize("text", ["no marks", f"{END} then {BEGIN}", BEGIN])
def test_a_readme_without_marks_stays_as_it_is(text: str) -> None:
    assert replace_head(text, f"{BEGIN}new{END}") == text


def test_only_the_marked_block_of_a_readme_changes() -> None:
    assert replace_head(f"a\n{BEGIN}old{END}\nb", f"{BEGIN}new{END}") == f"a\n{BEGIN}new{END}\nb"
