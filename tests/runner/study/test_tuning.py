"""Tuning: the same grid for every arm, on separate seeds."""

import csv
import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Optional

import pytest
import torch

from experiments.trial_setup import build_task
from runner.config import ConfigError, Evaluation
from runner.plan import checks
from runner.report.tuning_results import tuning_notes
from runner.study import tuning
from tests.support.composition import compose_config
from tests.support.memory_trial import MemoryTrial
from tests.support.tiny import TINY

GRID = ("tune=lr", "tune.grid=[0.001,0.01,0.1]", "tune.n_seeds=2")


@pytest.mark.slow
def test_the_best_value_of_a_grid_is_what_is_reported(run, capsys, tmp_path):
    one = ("arm=dense", "n_seeds=1", "training.steps=3", "tune.n_seeds=1", "~figures")
    run(*TINY, *GRID[:2], *one)
    assert (
        "moe (smoke), tuning: 3 arms x 1 seed = 3 trials: 0 reused, 3 to compute"
        in capsys.readouterr().out
    )
    (folder,) = (tmp_path / "outputs" / "moe" / "runs").iterdir()
    assert "tuned dense: training.lr=" in (folder / "report.html").read_text()
    assert len((folder / "tuning.csv").read_text().splitlines()) == 4


@pytest.mark.slow
def test_every_arm_gets_the_same_grid_and_trials_and_reports_its_best(plan, run, capsys, tmp_path):
    run(*TINY, *GRID, "~figures")
    said = capsys.readouterr().out
    assert "= 12 trials: 0 reused, 12 to compute" in said
    assert "takes its place" not in said
    study_plan = plan(*TINY, *GRID)
    assert set(study_plan.seeds) == {0, 1}
    (folder,) = (tmp_path / "outputs" / "moe" / "runs").iterdir()
    page = (folder / "report.html").read_text()
    assert "tuned dense: training.lr=" in page
    assert "tuned moe_top2: training.lr=" in page
    with (folder / "tuning.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["arm"], row["value"]) for row in rows} == {
        (arm, value) for arm in ("dense", "moe_top2") for value in ("0.001", "0.01", "0.1")
    }
    assert len(rows) == 12

    run(*TINY, *GRID, "~figures")
    assert "= 12 trials: all reused" in capsys.readouterr().out


def test_values_are_chosen_by_held_out_data_that_the_report_does_not_use(plan, tmp_path):
    study_plan = plan(*TINY, *GRID)
    config, overrides = compose_config(tmp_path, [*TINY, *GRID])
    grid = tuning.grid_plan(study_plan, config, overrides)
    assert {arm.config.evaluation for arm in grid.arms} == {Evaluation.tuning}
    assert {arm.config.signature_tree()["evaluation"] for arm in grid.arms} == {"tuning"}
    assert {arm.config.evaluation for arm in study_plan.arms} == {Evaluation.report}
    assert not any(
        "evaluation" in arm.config.signature_tree() for arm in study_plan.arms
    )  # as before there were two
    inputs = {}
    for arm in (study_plan.arms[0], grid.arms[0]):
        task = build_task(MemoryTrial(arm.config, tmp_path))
        inputs[arm.name] = torch.cat([batch.inputs[0] for batch in task.evaluation()])
    report, chosen_by = inputs.values()
    assert report.shape == chosen_by.shape
    assert not (report[:, None] == chosen_by).all(dim=-1).all(dim=-1).any()


def test_a_task_without_other_held_out_data_is_not_tuned(run, tmp_path):
    with pytest.raises(ConfigError, match="task=pairs15 has one set of held-out data") as error:
        run("experiment=translation", "scale=smoke", "arm=base", "task=pairs15", *GRID)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "outputs" / "translation").exists()


def test_reported_and_tuning_seeds_must_be_disjoint(run):
    with pytest.raises(ConfigError, match="the report uses seed 1 too"):
        run(*TINY, *GRID, "tune.first_seed=1")


def test_an_arm_that_sets_the_tuned_key_itself_is_an_error(run):
    with pytest.raises(ConfigError, match="arm dense sets it too"):
        run(*TINY, *GRID, "arms.dense=['ffn=dense','training.lr=0.1']")


def test_a_value_on_the_command_line_and_tuning_of_it_are_an_error(run):
    with pytest.raises(ConfigError, match="the command line sets it too"):
        run(*TINY, *GRID, "training.lr=0.5")


def test_an_a_a_arm_gets_what_its_original_gets(plan):
    copied = ('+arms.twin=["ffn=dense","seed_offset=1000"]', "arm=[dense,twin,moe_top2]")
    study_plan = plan(*TINY, *GRID, *copied)
    assert not any(
        name.startswith("twin")
        for name in tuning.variant_overrides(study_plan, study_plan.study.tune)
    )
    tuned = tuning.choose_best_values(study_plan, entries_of(LOSSES))
    assert tuned.overrides["twin"] == tuned.overrides["dense"] == "training.lr=0.01"


@pytest.mark.parametrize("broken", [(0.1,), (0.1, float("nan"))])
def test_a_value_without_all_its_seeds_cannot_win(plan, broken):
    study_plan = plan(*TINY, *GRID)
    losses = {**LOSSES, "dense": LOSSES["dense"] | {0.001: broken}}
    tuned = tuning.choose_best_values(study_plan, entries_of(losses))
    assert tuned.overrides["dense"] == "training.lr=0.01"
    assert math.isnan(tuned.sensitivity["dense"])  # no mean of the remaining values
    assert tuned.sensitivity["moe_top2"] == pytest.approx(1.0)
    notes = tuning_notes(tuned)
    reason = "is unknown, since a value of the grid has no result"
    assert [reason in line for line in notes] == [True, False]
    with pytest.raises(ConfigError, match="arm dense has no value of"):
        tuning.choose_best_values(
            study_plan, entries_of({**LOSSES, "dense": dict.fromkeys(LOSSES["dense"], (1.0,))})
        )


def test_a_grid_without_an_inside_is_an_error(plan):
    with pytest.raises(ConfigError, match="needs at least three values"):
        plan(*TINY, "tune=lr", "tune.grid=[0.1,0.2]")


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_a_grid_with_a_value_that_is_not_finite_is_one_line(plan, value):
    with pytest.raises(ConfigError, match="must contain only finite numbers") as error:
        plan(*TINY, "tune=lr", f"tune.grid=[1e-3,1e-2,{value}]")
    assert "\n" not in str(error.value)


class Entry:
    def __init__(self, arm: str, seed: int, loss: float) -> None:
        self.arm = type("Arm", (), {"name": arm})()
        self.seed = seed
        self.slot = self
        self.loss = loss

    def result(self) -> dict[str, object]:
        return {"results": [{"metric": "val/loss", "value": self.loss}]}


LOSSES = {
    "dense": {0.001: (3.0, 3.0), 0.01: (1.0, 2.0), 0.1: (0.5, 4.0)},
    "moe_top2": {0.001: (1.0, 1.0), 0.01: (2.0, 2.0), 0.1: (3.0, 3.0)},
}


def entries_of(losses: dict[str, dict[float, tuple[float, ...]]]) -> list[Entry]:
    return [
        Entry(tuning.variant_name(arm, value), seed, loss)
        for arm, grid in losses.items()
        for value, seed_losses in grid.items()
        for seed, loss in enumerate(seed_losses)
    ]


def test_the_best_is_that_of_the_mean_and_edges_are_told(plan):
    study_plan = plan(*TINY, *GRID)
    tuned = tuning.choose_best_values(study_plan, entries_of(LOSSES))
    assert tuned.overrides == {"dense": "training.lr=0.01", "moe_top2": "training.lr=0.001"}
    assert tuned.interior == {"dense": True, "moe_top2": False}
    assert tuned.sensitivity["dense"] == pytest.approx((1.5 + 0 + 0.75) / 3)
    assert len(tuned.rows) == 12


def test_keys_that_take_a_number_can_be_tuned_though_they_are_null_now():
    @dataclass
    class Options:
        block: int | None = None
        clip: Optional[float] = None  # noqa: UP045
        steps: int = 1
        masked: bool = False
        name: str | None = None
        sizes: list[int] = field(default_factory=list)

    arm = SimpleNamespace(training=Options(), options=Options(), parts=SimpleNamespace())
    names = {key.partition(".")[2] for key in checks.numeric_keys(arm)}  # type: ignore[arg-type]
    assert names == {"block", "clip", "steps"}


def test_a_key_that_is_null_in_a_preset_is_tuned(plan):
    flash = ("experiment=flash_attention", "scale=smoke", "tune=lr", "tune.grid=[16,32,64]")
    with pytest.raises(ConfigError, match=r"tune\.metric"):  # it lacks the metric, but has the key
        plan(*flash, "tune.key=options.block_q", "tune.metric=val/loss")
