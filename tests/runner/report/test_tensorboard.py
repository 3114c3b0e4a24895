"""What TensorBoard shows after whole commands, asked from its own application."""

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.records.tensorboard import MAX_RUNS
from runner.report.latest_run import find_newest_run
from tests.support.tensorboard_app import TensorBoardApp
from tests.support.tiny import TINY

ARMS = ("dense", "moe_top2", "moe_top2_copy")
MOE = (*TINY, f"arm=[{','.join(ARMS)}]", "~figures")
FFN = ("experiment=ffn", "scale=smoke", "task=function", "task.width=8", "arm=[relu,gelu]")
LOSS = "~ HParams/val/loss"
pytestmark = pytest.mark.slow


def check_dashboard(experiment: Path, *arms: str, n_seeds: int) -> TensorBoardApp:
    """Check what README's command shows: a row and a run for each arm, bands by arm."""
    app = TensorBoardApp(experiment / "latest" / "tb")
    assert app.runs() == sorted([".", *arms])
    assert len(app.runs()) <= MAX_RUNS
    rows = app.rows()
    assert {arm: row["arm.seeds"] for arm, row in rows.items()} == dict.fromkeys(arms, n_seeds)
    for row in rows.values():
        assert row[f"{LOSS} low"] < row[f"{LOSS} mean"] < row[f"{LOSS} high"]
    assert [*app.columns()][:2] == ["arm.role", "arm.seeds"]
    assert list(app.metrics())[:3] == [f"{LOSS} {part}" for part in ("mean", "low", "high")]
    layout, tags = app.layout(), set.union(*app.tags().values())
    assert next(iter(layout)) == "headlines"
    (series,) = layout["headlines"][-1]["margin"]["series"]
    assert series["value"] == "1 headlines/1 val/loss"
    series = [s for charts in layout.values() for c in charts for s in c["margin"]["series"]]
    assert {tag for s in series for tag in (s["value"], s["lower"], s["upper"])} <= tags
    assert {"answer", "command", "question"} <= set(app.texts())
    return app


def test_after_one_run_and_after_more_seeds(run: Callable[..., None], tmp_path: Path) -> None:
    experiment = tmp_path / "outputs" / "moe"
    for n_seeds in (2, 9):
        run(*MOE, f"n_seeds={n_seeds}")
        app = check_dashboard(experiment, *ARMS, n_seeds=n_seeds)
        assert app.rows()["moe_top2_copy"]["arm.role"] == "A/A pair with moe_top2"
        assert not [tag for tag in set.union(*app.tags().values()) if "expert0" in tag]
        trials = TensorBoardApp(experiment / "trials")
        assert len(trials.runs()) == 1 + len(ARMS) * n_seeds
        rows = trials.rows().values()
        assert sorted((row["arm"], row["seed"]) for row in rows) == sorted(
            (arm, seed) for arm in ARMS for seed in range(n_seeds)
        )
        assert all(row["val/loss"] > 0 for row in rows)
        tags = set.union(*trials.tags().values())
        assert len([tag for tag in tags if tag.startswith("~ HParams/")]) <= len(trials.metrics())
        assert not [tag for tag in tags if tag.startswith("final/")]
    assert len(list((experiment / "runs").iterdir())) == 2


def test_after_a_sweep_and_another_study(
    runner: Callable[..., object], run: Callable[..., None], tmp_path: Path
) -> None:
    runner("-m", *TINY, "n_seeds=1", "arm=dense", "~figures", "training.lr=1e-3,2e-3")
    experiment = tmp_path / "outputs" / "moe"
    trials = TensorBoardApp(experiment / "trials")
    assert list(trials.columns()) == ["arm", "seed", "training.lr"]
    assert sorted(row["training.lr"] for row in trials.rows().values()) == [0.001, 0.002]
    assert [row["arm"] for row in trials.rows().values()] == ["dense", "dense"]
    latest = TensorBoardApp(experiment / "latest" / "tb")
    assert latest.runs() == [".", "dense"]
    assert latest.rows()["dense"]["arm.seeds"] == 1
    assert list(latest.metrics()) == [f"{LOSS} mean"]
    run(*MOE, "n_seeds=2", "ffn.n_experts=4")
    check_dashboard(experiment, *ARMS, n_seeds=2)
    trials = TensorBoardApp(experiment / "trials")
    assert len(trials.rows()) == 2 + 2 * len(ARMS)
    assert {"arm", "seed", "training.lr", "ffn.n_experts", "seed_offset"} < set(trials.columns())


def test_after_two_experiments_in_one_store(run: Callable[..., None], tmp_path: Path) -> None:
    run(*FFN, "n_seeds=2", "~figures")
    run(*MOE, "n_seeds=2")
    outputs = tmp_path / "outputs"
    check_dashboard(outputs / "moe", *ARMS, n_seeds=2)
    check_dashboard(outputs / "ffn", "relu", "gelu", n_seeds=2)
    assert find_newest_run(outputs) == (outputs / "moe" / "latest").resolve()
    trials = TensorBoardApp(outputs / "ffn" / "trials")
    assert sorted(row["arm"] for row in trials.rows().values()) == ["gelu"] * 2 + ["relu"] * 2
    assert {"arm", "seed", "ffn.activation"} <= set(trials.columns())
