"""Real sweeps, from the command line to their pages."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from runner.metric_names import MACHINE_UNITS
from tests.support.tiny import TINY

Runner = Callable[..., subprocess.CompletedProcess[str]]
FEW = ("~figures", "n_seeds=1")


def results_of(folder: Path) -> pd.DataFrame:
    """Return the final values of the only run of an experiment, without measured times."""
    (path,) = folder.glob("moe/runs/*/results.csv")
    frame = pd.read_csv(path)
    return frame[~frame["unit"].isin(MACHINE_UNITS)].reset_index(drop=True)


@pytest.mark.slow
def test_jobs_over_arms_and_seeds_give_the_one_report_of_the_serial_run(
    runner: Runner, tmp_path: Path
):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "outputs=shared")
    swept = ("arm=dense,moe_top2", "seed=0,1", *FEW)
    done = runner("-m", *TINY, *swept, *joblib, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report written in") == 1
    assert not (tmp_path / "shared" / "sweeps").exists()
    again = runner(*TINY, "arm=[dense,moe_top2]", "~figures", "n_seeds=2", "outputs=serial")
    assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(
        results_of(tmp_path / "shared"), results_of(tmp_path / "serial"), check_exact=True
    )


@pytest.mark.slow
def test_a_sweep_has_a_page_over_its_points_and_lists_those_that_failed(
    runner: Runner, tmp_path: Path
):
    swept = ("arm=[dense,moe_top2]", "training.steps=8,0,10", *FEW)
    done = runner("-m", *TINY, *swept, timeout=600)
    assert done.returncode == 2
    assert "\ntraining.steps=0: refused: training.steps=0 must be at least 1" in done.stdout
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    assert f"{folder.relative_to(tmp_path)}/report.html" in done.stdout.splitlines()[-1]
    assert {path.name for path in folder.iterdir()} == {
        *("report.html", "results.csv", "comparison.csv", "values.csv", "verdicts.json"),
        *("sweep.json", "figures"),
    }
    points = json.loads((folder / "sweep.json").read_text())["points"]
    assert [point["state"] for point in points] == ["done", "refused", "done"]
    assert [point["exit_code"] for point in points] == [0, 2, 0]
    results = pd.read_csv(folder / "results.csv")
    assert list(results.columns[:3]) == ["point", "training.steps", "arm"]
    assert set(results["training.steps"]) == {8, 10}
    html = (folder / "report.html").read_text()
    for point in points:
        assert (f'href="../../{point["run"]}/report.html"' in html) == bool(point["run"])
        assert not point["run"] or (folder / "../.." / point["run"] / "report.html").is_file()
    assert (folder / "figures" / "val_loss.svg").is_file()

    # The first point is reused, the second is bad input, and the third does not run.
    ended = runner("-m", *TINY, *swept, "fail_fast=true", timeout=600)
    assert ended.returncode == 2
    assert "1 point done, 1 failed, 1 not run:" in ended.stdout
    assert "2 trials, 2 reused" in ended.stdout
