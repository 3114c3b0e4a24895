"""The page of a sweep is written again from the files of its folder, which may be damaged."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from runner.commands.redraw import redraw
from runner.config import ConfigError
from runner.sweeps.record import COMPARISON_NUMBERS, COMPARISON_TEXTS
from runner.sweeps.redraw import read_sweep, redraw_sweep
from runner.sweeps.report import write_page, write_records
from tests.support.sample_sweep import comparison_row, make_points, make_sweep

SETTINGS = [{"training.lr": 1e-3, "ffn.n_experts": n} for n in (4, 8, 16)]
VERDICT = {"point": 2, "id": "M1", "verdict": "reproduced", "line": "reproduced: +0.1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a written sweep."""
    rows = [comparison_row(i) for i in (1, 2, 3)]
    verdicts = ({**VERDICT, "claim": {"statement": "Mixtures are better."}},)
    sweep = make_sweep(make_points(SETTINGS), rows, verdicts=verdicts, lines=("One family.",))
    write_records(tmp_path, sweep)
    write_page(tmp_path, sweep)
    return tmp_path


def test_a_redrawn_page_is_the_same(folder: Path, capsys):
    before = {path.name: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    (folder / "report.html").unlink()
    redraw([str(folder)])
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    after = {path.name: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    assert after == before


def test_the_record_is_read_back(folder: Path):
    sweep = read_sweep(folder)
    assert [dict(point.settings) for point in sweep.points] == SETTINGS
    assert list(sweep.points[0].settings) == ["training.lr", "ffn.n_experts"]
    assert sweep.lines == ("One family.",)
    assert len(sweep.values) == 18


def test_a_sweep_of_one_arm_has_no_comparisons(tmp_path: Path):
    columns = ["point", *COMPARISON_TEXTS, *COMPARISON_NUMBERS]
    empty = pd.DataFrame(columns=columns)
    sweep = make_sweep(make_points(SETTINGS), [], comparison=empty)
    write_records(tmp_path, sweep)
    html = write_page(tmp_path, sweep).read_text()
    assert "No arms are compared at these points." in html
    assert redraw_sweep(tmp_path).read_text() == html


def edit(change: Callable[[dict], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        content = json.loads((folder / "sweep.json").read_text())
        change(content)
        (folder / "sweep.json").write_text(json.dumps(content))

    return apply


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "sweep.json").write_text("{"), "it is not JSON"),
        (lambda folder: (folder / "values.csv").unlink(), "values.csv is missing"),
        (lambda folder: (folder / "values.csv").write_text("a,b\n1,2\n"), "is not a table"),
        (lambda folder: (folder / "results.csv").write_bytes(b"\xff\xfe\0"), "is not a table"),
        (lambda folder: (folder / "verdicts.json").write_text("[1]"), "is not a list of verdicts"),
        (edit(lambda content: content.update(format=9)), "is of another version"),
        (edit(lambda content: content.pop("keys")), "keys does not match"),
        (edit(lambda content: content["points"][0].update(state="odd")), "points does not match"),
        (edit(lambda content: content["points"][0].update(number=7)), "are not numbered from 1"),
        (edit(lambda content: content["headlines"][0].pop("unit")), "headlines does not match"),
        (edit(lambda content: content["points"].pop()), "names a point"),
    ],
)
def test_a_damaged_file_is_one_line(folder: Path, damage: Callable[[Path], object], said: str):
    damage(folder)
    with pytest.raises(ConfigError, match=said) as caught:
        redraw_sweep(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_no_page_is_written_through_a_link(folder: Path, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for path in (folder / "figures").iterdir():
        path.unlink()
    (folder / "figures").rmdir()
    (folder / "figures").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="figures is a link"):
        redraw_sweep(folder)
    assert list(elsewhere.iterdir()) == []


def test_texts_of_an_untrusted_folder_are_escaped(folder: Path):
    edit(lambda content: content["points"][0].update(message="<script>x</script>", state="failed"))(
        folder
    )
    edit(lambda content: content.update(title="<b>bold</b>"))(folder)
    html = redraw_sweep(folder).read_text()
    assert "<script>x" not in html
    assert "<b>bold" not in html
