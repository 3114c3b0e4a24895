"""A run is redrawn from its own final values; what its trials hold today is checked first."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from tests_tiny import TINY

from runner.config import ConfigError
from runner.report import gather
from runner.report.redraw import redraw, results_of
from runner.store import Slot, read_json


def test_a_run_keeps_its_values_whatever_becomes_of_its_trials(run, tmp_path: Path, capsys):
    run(*TINY, "n_seeds=1", "arm=[dense,a]", '+arms.a=["ffn=dense","training.lr=0.01"]')
    (folder,) = (tmp_path / "outputs" / "moe" / "runs").iterdir()
    values = (folder / "results.csv").read_bytes()
    environment = read_json(folder / "environment.json")
    assert environment is not None
    assert environment["packages"]["ablab"]
    assert environment["threads"] == {"dense": 1, "a": 1}
    assert environment["device"] == {"dense": "cpu", "a": "cpu"}
    assert environment["data"]["dense"]
    assert environment["trial_seconds"]["all"] > environment["trial_seconds"]["reused"] == 0

    redraw([str(folder)])
    page = (folder / "report.html").read_text()
    assert (folder / "results.csv").read_bytes() == values
    assert "redrawn" not in page
    assert "each arm trains with the rate it names" in page

    trials = [Path(folder, row["folder"]) for row in read_json(folder / gather.SUMMARY)["trials"]]
    again = Slot(trials[0])
    again.record(again.result() | {"results": [{"metric": "val/loss", "value": 9.0, "unit": ""}]})
    again.mark("done")
    shutil.rmtree(trials[1])
    capsys.readouterr()
    redraw([str(folder)])
    assert (folder / "results.csv").read_bytes() == values
    said = "redrawn: 2 of 2 trials (dense seed 0, a seed 0) are gone or were computed again"
    assert said in (folder / "report.html").read_text()
    assert capsys.readouterr().out.count("redrawn:") == 1

    (folder / "environment.json").unlink()
    with pytest.raises(ConfigError, match=r"it lacks environment\.json"):
        redraw([str(folder)])


def test_values_survive_to_the_bit(tmp_path: Path):
    rows = [("a", 0, "m", 0.1 + 0.2, "1"), ("null", 1, "m", float("inf"), "")]
    table = pd.DataFrame(rows, columns=gather.RESULT_COLUMNS)
    table.to_csv(tmp_path / "results.csv", index=False)
    read = results_of(tmp_path)
    assert read.to_numpy().tolist() == table.to_numpy().tolist()


def test_help_is_one_line(capsys):
    redraw(["--help"])
    assert capsys.readouterr().out.startswith("usage: python -m runner redraw <run>")
    with pytest.raises(ConfigError, match="type python -m runner redraw"):
        redraw([])
