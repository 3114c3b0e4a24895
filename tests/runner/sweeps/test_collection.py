"""The runs of a sweep whose comparisons count."""

from types import SimpleNamespace
from typing import Any

import pytest

from runner.sweeps.collection import leave_out_smoke_runs


def runs_of(*scales: str) -> Any:
    return {
        i: SimpleNamespace(outline=SimpleNamespace(scale=scale))
        for i, scale in enumerate(scales, 1)
    }


@pytest.mark.parametrize("scales", [("smoke", "smoke"), ("quick", "full"), ("quick",)])
def test_runs_of_one_kind_all_count(scales: tuple[str, ...]):
    runs = runs_of(*scales)
    assert leave_out_smoke_runs(runs) == (runs, [])


def test_smoke_runs_beside_others_are_no_evidence_and_a_note_says_so():
    judged, (note,) = leave_out_smoke_runs(runs_of("smoke", "quick", "full"))
    assert [*judged] == [2, 3]
    assert note.startswith("The arms of 1 point are not compared, because scale=smoke")
