"""A report reuses the pictures of an earlier run of this user with the same data, and no others."""

import dataclasses
import json
from pathlib import Path

import pytest

from runner.figures import draw
from runner.report import picture_reuse
from runner.report.report_files import write_report
from runner.report.study_record import StudyRecord
from tests.support.sample_study import make_study


@pytest.fixture
def study() -> StudyRecord:
    study = make_study()
    return dataclasses.replace(study, figures=dict(list(study.figures.items())[:2]))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the figures that are drawn while the test runs."""
    names: list[str] = []
    original = draw._encode

    def encode(name, figure):
        names.append(name)
        return original(name, figure)

    monkeypatch.setattr(draw, "_encode", encode)
    return names


def pictures(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "figures").glob("*.[ps][nv]g")}


def test_a_second_report_draws_nothing(tmp_path: Path, study: StudyRecord, drawn: list[str]):
    write_report(tmp_path / "runs" / "1", study)
    first = list(drawn)
    drawn.clear()
    write_report(tmp_path / "runs" / "2", study)
    assert first
    assert not drawn
    assert pictures(tmp_path / "runs" / "1") == pictures(tmp_path / "runs" / "2")
    page = (tmp_path / "runs" / "2" / "report.html").read_text(encoding="utf-8")
    assert page == (tmp_path / "runs" / "1" / "report.html").read_text(encoding="utf-8")


def test_other_values_or_settings_are_drawn_again(
    tmp_path: Path, study: StudyRecord, drawn: list[str]
):
    write_report(tmp_path / "runs" / "1", study)
    first = set(drawn)
    name, figure = next(iter(study.figures.items()))
    titled = study.figures | {name: dataclasses.replace(figure, title="Another title")}
    drawn.clear()
    write_report(tmp_path / "runs" / "2", dataclasses.replace(study, figures=titled))
    assert drawn == [name]
    values = study.results.assign(value=study.results["value"] * 1.5)
    drawn.clear()
    write_report(tmp_path / "runs" / "3", dataclasses.replace(study, results=values))
    assert set(drawn) == first


@pytest.mark.parametrize("change", ["picture", "text", "index", "secret"])
def test_an_edited_run_supplies_no_picture(
    tmp_path: Path, study: StudyRecord, drawn: list[str], change: str
):
    first, second = tmp_path / "runs" / "1", tmp_path / "runs" / "2"
    write_report(first, study)
    name = drawn[0]
    index = json.loads((first / picture_reuse.INDEX).read_text())
    if change == "picture":
        (first / "figures" / f"{name}.svg").write_text("<svg/>")
    elif change == "text":
        index[name]["alt"] += " and more"
    elif change == "index":
        index[name] = None
    elif change == "secret":  # as in a run folder of another user
        secret = picture_reuse.private_folders.lock_folder() / picture_reuse.SECRET
        secret.write_bytes(bytes(picture_reuse.SECRET_BYTES))
    (first / picture_reuse.INDEX).write_text(json.dumps(index))
    before = set(drawn)
    drawn.clear()
    write_report(second, study)
    assert set(drawn) == (before if change == "secret" else {name})


def test_redraw_draws_everything(tmp_path: Path, study: StudyRecord, drawn: list[str]):
    write_report(tmp_path / "runs" / "1", study)
    before = list(drawn)
    drawn.clear()
    write_report(tmp_path / "runs" / "1", study, is_redraw=True)
    assert drawn == before
    drawn.clear()
    write_report(tmp_path / "runs" / "2", study)  # from the index that the redraw has left
    assert not drawn


def test_without_a_private_folder_nothing_is_reused(
    tmp_path: Path, study: StudyRecord, drawn: list[str], monkeypatch
):
    def refuse() -> Path:
        raise PermissionError("open to others")

    monkeypatch.setattr(picture_reuse.private_folders, "lock_folder", refuse)
    write_report(tmp_path / "runs" / "1", study)
    before = list(drawn)
    drawn.clear()
    write_report(tmp_path / "runs" / "2", study)
    assert drawn == before
