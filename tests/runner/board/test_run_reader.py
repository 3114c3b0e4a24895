"""A record of the board is made from a run folder alone, and refuses one that was changed."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.board.record_file import read_record, write_record
from runner.board.run_reader import portable_command, record_run
from runner.claims.kinds import read_claim
from runner.commands.board import write_board
from runner.config import ConfigError
from runner.plan.option_folders import CONF
from runner.records import seal
from runner.report.redraw import redraw_run
from runner.report.run_folder import VERIFIED_FILES
from tests.support.board_records import BALANCE
from tests.support.environment import ROOT
from tests.support.finished_study import (  # noqa: F401 (fixtures)
    copied_run_folder,
    finished_study_folder,
)

CLAIM = read_claim(BALANCE, yaml.safe_load((CONF / "claims" / "moe.yaml").read_text())[BALANCE])
VERDICT: dict[str, Any] = {
    "id": BALANCE,
    "claim": CLAIM.to_dict(),
    "verdict": "inconclusive",
    "reason": "difference +0.1 [-0.2, 0.4], 8 paired seeds",
    "interval": {"mean": 0.1, "low": -0.2, "high": 0.4, "n": 8},
    "p": 0.5,
    "p_holm": "nan",
    "minimum_detectable_effect": "inf",
    "n": 8,
    "unit": "",
    "shipped": True,
    "registered": CLAIM.fingerprint,
}


def reseal(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Change study.json and seal it again."""
    summary = json.loads((folder / "study.json").read_text())
    change(summary)
    del summary["digests"]
    sealed = seal.seal_record(summary, "study.json", folder, VERIFIED_FILES)
    (folder / "study.json").write_text(json.dumps(sealed))


def write_verdicts(folder: Path, verdicts: list[Any]) -> None:
    """Write other verdicts, and seal answer.json again."""
    (folder / "verdicts.json").write_text(json.dumps(verdicts))
    answer = json.loads((folder / "answer.json").read_text())
    del answer["digests"]
    sealed = seal.seal_record(answer, "answer.json", folder, ["verdicts.json"])
    (folder / "answer.json").write_text(json.dumps(sealed))


@pytest.fixture
def quick_run(copied_run_folder: Path) -> Path:  # noqa: F811
    """Return the folder of a run that is no smoke run, with a verdict on the balance loss."""
    folder = copied_run_folder
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("scale: smoke", "scale: quick"))
    write_verdicts(folder, [VERDICT])
    reseal(folder)
    return folder


def test_a_record_has_the_claim_the_origin_and_the_sizes_of_the_arms(
    quick_run: Path, tmp_path: Path
) -> None:
    record = record_run(quick_run)
    environment = json.loads((quick_run / "environment.json").read_text())
    summary = json.loads((quick_run / "study.json").read_text())
    assert (record.experiment, record.scale) == ("moe", "quick")
    assert record.date == environment["reported"]
    assert record.machine["processor"] == environment["machine"]["processor"]
    assert "id" not in record.machine
    assert record.versions["torch"] == environment["packages"]["torch"]
    assert record.digests["results.csv"] == summary["digests"]["results.csv"]
    assert record.digests["verdicts.json"] == seal.file_sha256(quick_run / "verdicts.json")
    assert "outputs=" not in record.command
    assert str(tmp_path) not in json.dumps(record.to_dict())
    assert record.arms["dense"] == {"seeds": 1, **summary["costs"]["dense"]}
    assert list(record.settings) == summary["typed"]
    (claim,) = record.claims
    assert (claim.verdict, claim.estimate_text) == ("inconclusive", "+0.100 [-0.200, 0.400]")
    assert (claim.p, claim.p_holm, claim.detectable) == (0.5, None, "inf")
    assert claim.quantity == "moe/load_max_violation: moe_no_balance minus moe_top2"
    assert read_record(write_record(tmp_path / "records", record)) == record


def test_a_command_names_no_folder_no_user_and_no_launcher() -> None:
    words = [
        *("python", "-m", "runner", "experiment=moe", "outputs=/home/alice/o", "workers=2"),
        *("task.path=/home/alice smith/my notes.md", "task.path=[/home/a/b.md,/home/alice]"),
        *("hydra/launcher=ray_cluster", "hydra.launcher.ray.init.address=office:6379"),
        *("+hydra.job.env=alice", "--config-dir=/home/alice"),
    ]
    assert shlex.split(portable_command(shlex.join(words))) == [
        *("python", "-m", "runner", "experiment=moe", "workers=2"),
        *("task.path=my notes.md", "task.path=[b.md,~]", "--config-dir=~"),
    ]


def test_a_smoke_run_and_changed_files_are_refused(
    copied_run_folder: Path,  # noqa: F811
) -> None:
    with pytest.raises(ConfigError, match="is a smoke run"):
        record_run(copied_run_folder)
    results = copied_run_folder / "results.csv"
    results.write_text(results.read_text().replace("0", "1", 1))
    with pytest.raises(ConfigError, match=r"results\.csv was changed"):
        record_run(copied_run_folder)
    results.unlink()
    results.symlink_to("/etc/hostname")
    with pytest.raises(ConfigError, match=r"results\.csv is missing or a link"):
        record_run(copied_run_folder)


@pytest.mark.parametrize("name", ["verdicts.json", "answer.json"])
def test_an_edited_verdict_or_answer_is_refused_until_the_run_is_redrawn(
    quick_run: Path, name: str
) -> None:
    original = (quick_run / name).read_text()
    edited = original.replace("inconclusive", "reproduced").replace("smoke run", "quick run")
    assert edited != original
    (quick_run / name).write_text(edited)
    with pytest.raises(ConfigError, match=rf"{name} was changed .*; redraw the run"):
        record_run(quick_run)
    redraw_run(quick_run)
    assert all(claim.verdict != "reproduced" for claim in record_run(quick_run).claims)


FALSE_VERDICTS: dict[str, Any] = {
    "is not the claim of its hash": VERDICT | {"registered": "0" * 12},
    "verdict does not match": VERDICT | {"verdict": "proven"},
    "is not valid": VERDICT | {"claim": {"kind": "difference"}},
    "n does not match": VERDICT | {"n": "eight"},
    "estimate does not match": VERDICT | {"interval": {"mean": "<b>"}},
    "not a list of verdicts": [VERDICT],
}


@pytest.mark.parametrize("message", list(FALSE_VERDICTS))
def test_a_false_verdict_is_one_line_that_names_the_run(quick_run: Path, message: str) -> None:
    write_verdicts(quick_run, [FALSE_VERDICTS[message]])
    with pytest.raises(ConfigError, match=message) as caught:
        record_run(quick_run)
    assert str(quick_run) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_verb_records_a_run_and_writes_board_and_readme(
    quick_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    docs = tmp_path / "docs"
    (docs / "board" / "records").mkdir(parents=True)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    write_board([f"record={quick_run}"])
    (path,) = (docs / "board" / "records").iterdir()
    assert f"recorded: docs/board/records/{path.name}" in capsys.readouterr().out
    written = {name: (docs / name).read_bytes() for name in ("board.md", "board.html")}
    assert b"too few seeds" in written["board.md"]
    assert "1 inconclusive" in (tmp_path / "README.md").read_text(encoding="utf-8")
    # The same records give the same bytes, and a run that has a record is not counted twice.
    runs = tmp_path / "outputs" / "moe" / "runs"
    runs.mkdir(parents=True)
    quick_run.rename(runs / "2026-11-26_13-00-00_quick")
    write_board([])
    assert {name: (docs / name).read_bytes() for name in written} == written
    assert not (tmp_path / "outputs" / "board.md").exists()
    write_board(["outputs=outputs"])
    assert (tmp_path / "outputs" / "board.md").read_bytes() == written["board.md"]


def test_a_folder_with_only_smoke_runs_gets_its_board_and_a_line_that_says_so(
    copied_run_folder: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "mine" / "moe" / "runs"
    runs.mkdir(parents=True)
    copied_run_folder.rename(runs / "2026-11-26_13-00-00_smoke")
    (tmp_path / "docs" / "board" / "records").mkdir(parents=True)
    write_board(["outputs=mine"])
    printed = capsys.readouterr().out
    assert "left out: 1 smoke run of mine, since smoke runs decide no claim" in printed
    assert (tmp_path / "mine" / "board.md").is_file()


def test_without_a_folder_of_records_the_board_is_written_to_outputs(
    quick_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "outputs" / "moe" / "runs"
    runs.mkdir(parents=True)
    quick_run.rename(runs / "2026-11-26_13-00-00_quick")
    (runs / "2026-11-26_13-00-01_quick").mkdir()
    write_board([])
    printed = capsys.readouterr().out
    assert "1 inconclusive" in printed
    assert "1 run of outputs without a record" in printed
    assert "left out: outputs/moe/runs/2026-11-26_13-00-01_quick is not a finished run" in printed
    assert b"too few seeds" in (tmp_path / "outputs" / "board.md").read_bytes()
    assert not (tmp_path / "docs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["record=absent"], "record=absent: there is no such folder"),
        (["record=latest"], "record=latest names no run"),
        (["docs=absent"], "docs=absent: there is no such folder"),
        (["docs="], "docs=: there is no such folder"),
        ([f"docs={__file__}"], "docs=.*: is a file"),
        ([f"record={__file__}"], "record=.*: is a file; name a run folder"),
        (["outputs=absent"], "outputs=absent: there is no such folder"),
        (["recrd=x"], "did you mean record"),
        (["moe"], "moe is too much"),
    ],
)
def test_a_wrong_argument_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        write_board(arguments)
    assert not [*tmp_path.iterdir()]
