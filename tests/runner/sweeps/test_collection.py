"""The runs of a sweep: whose comparisons count, and which are damaged."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.config import ConfigError
from runner.sweeps.collection import collect_sweep, leave_out_smoke_runs, merge_headlines
from runner.sweeps.outcomes import PointOutcome
from runner.sweeps.points import SweepPoint
from runner.sweeps.report import report_sweep
from runner.sweeps.task import JobOutcome
from tests.support.finished_study import (  # noqa: F401
    copied_run_folder,
    finished_study_folder,
)
from tests.support.sample_sweep import LOSS


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


def point_of(run: Path, value: int) -> PointOutcome:
    outcome = JobOutcome("done", experiment="moe", folder=str(run))
    return PointOutcome(SweepPoint({"ffn.n_experts": value}), outcome)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("results.csv", b"arm\n"), ("comparison.csv", b"\xff"), ("verdicts.json", b"{")),
        *(("study.json", b"[]"), ("study.json", None), ("config.yaml", b"a: [")),
    ],
)
def test_a_damaged_run_is_a_failed_point_and_the_others_have_a_page(
    copied_run_folder: Path,  # noqa: F811
    name: str,
    content: bytes | None,
):
    outputs = copied_run_folder.parent
    damaged = shutil.copytree(copied_run_folder, outputs / "damaged")
    if content is None:
        (damaged / name).unlink()
    else:
        (damaged / name).write_bytes(content)
    outcomes = [point_of(copied_run_folder, 4), point_of(damaged, 8)]
    page = report_sweep(outputs / "sweep", "", "python -m runner -m ...", outcomes, [])
    text = page.read_text()
    assert "Point 2 is left out: its report cannot be read (" in text
    assert "1 failed, of 2 points" in text
    record = collect_sweep(outcomes, outputs=outputs, title="", command="", notes=[])
    assert [(one.state, one.run) for one in record.points] == [("done", "run"), ("failed", "")]
    with pytest.raises(ConfigError, match="Point 1 is left out"):
        collect_sweep(outcomes[1:], outputs=outputs, title="", command="", notes=[])


def test_a_page_has_the_notes_on_settings_of_its_points_once(
    copied_run_folder: Path,  # noqa: F811
    capsys: pytest.CaptureFixture,
):
    def set_notes(folder: Path, *notes: str) -> None:
        summary = json.loads((folder / "study.json").read_text())
        (folder / "study.json").write_text(json.dumps(summary | {"setting_notes": notes}))

    other = shutil.copytree(copied_run_folder, copied_run_folder.parent / "other")
    set_notes(copied_run_folder, "a does not apply to dense", "a=4 has no effect")
    set_notes(other, "a does not apply to dense")
    outcomes = [point_of(copied_run_folder, 4), point_of(other, 8)]
    folder = copied_run_folder.parent / "sweep"
    page = report_sweep(folder, "", "python -m runner -m ...", outcomes, ["said"])
    notes = ["a does not apply to dense", "a=4 has no effect (at ffn.n_experts=4)"]
    assert json.loads((folder / "sweep.json").read_text())["notes"] == ["said", *notes]
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("note: ")] == [
        f"note: {note}" for note in notes
    ]
    assert all(page.read_text().count(note) == 1 for note in notes)


def test_a_headline_has_the_limits_that_hold_at_all_points() -> None:
    """A loss of the user's own may be below 0 at some points only."""
    limited = dataclasses.replace(LOSS, lowest=0.0, arms=("a", "b"))
    free = dataclasses.replace(LOSS, lowest=None, arms=("b", "c"))
    (merged,) = merge_headlines([limited, free])
    assert (merged.lowest, merged.arms) == (None, ("a", "b", "c"))
    (merged,) = merge_headlines([limited, limited])
    assert (merged.lowest, merged.highest) == (0.0, None)
