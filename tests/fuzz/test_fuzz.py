"""A few cases of every kind in each test run; `python -m tests.fuzz` runs any number."""

import time

import pytest

from tests.fuzz.__main__ import run_cases, run_kinds
from tests.fuzz.kinds import KINDS, STAGE_COUNTS

FAST = {"overrides": 24, "folders": 12}
MORE = {"overrides": 150, "folders": 65, "texts": 15, "stores": 20, "runs": 15}


@pytest.mark.parametrize("kind", list(FAST))
def test_whatever_is_typed_or_written_ends_in_a_plan_or_a_clear_line(kind: str):
    assert run_cases(kind, FAST[kind], start=0) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(MORE))
def test_more_cases_of_every_kind(kind: str):
    before = STAGE_COUNTS.total()
    assert run_cases(kind, MORE[kind], start=1) == []
    assert STAGE_COUNTS.total() > before


@pytest.mark.slow
def test_the_command_itself_ends_as_it_does_within_this_process():
    assert run_cases("commands", 10, start=2) == []


@pytest.mark.long
def test_ten_thousand_cases_within_an_hour():
    STAGE_COUNTS.clear()
    start = time.monotonic()
    assert run_kinds(10_000, start=3) == 0
    assert time.monotonic() - start < 3600
    planned = sum(number for stage, number in STAGE_COUNTS.items() if stage.endswith(": planned"))
    composed = sum(number for stage, number in STAGE_COUNTS.items() if stage.endswith(": composed"))
    assert planned >= 1_000
    assert planned + composed >= 10_000 / 5


@pytest.mark.long
def test_two_hundred_commands():
    assert run_kinds(200, start=4, kinds=["commands"]) == 0


def test_the_fuzz_sees_a_message_that_breaks_the_rules(monkeypatch):
    cases, _ = KINDS["overrides"]
    monkeypatch.setitem(KINDS, "overrides", (cases, lambda _: ["raw words: unhashable"]))
    assert len(run_cases("overrides", 5, start=0)) >= 1
