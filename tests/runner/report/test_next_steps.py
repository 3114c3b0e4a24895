"""The setting line and the next commands follow from the study."""

import dataclasses
import shlex

import pandas as pd
import pytest

from runner.report.next_steps import describe_setting, next_commands
from tests.support.sample_study import make_study

VALUES = {
    "model.n_layers": 2,
    "model.d_model": 64,
    "training.steps": 300,
    "training.batch_size": 16,
    "training.lr": 0.003,
    "task.kind": "domains",
    "task.length": 64,
}


def trained(**changes):
    study = make_study()
    losses = study.results[study.results["metric"] == "val/loss"].assign(metric="train/loss")
    results = pd.concat([study.results, losses], ignore_index=True)
    hparams = {arm: dict(VALUES) for arm in study.arms}
    return dataclasses.replace(study, results=results, hparams=hparams, **changes)


def commands(study) -> list[str]:
    return [command for _, command in next_commands(study)]


def test_the_setting_is_that_of_the_baseline():
    assert describe_setting(trained()) == (
        "Setting of dense: 2 layers of width 64, 300 training steps of 16 sequences of length 64, "
        "learning rate 0.003, task domains."
    )
    assert describe_setting(make_study()) == ""


@pytest.mark.parametrize(
    ("typed", "logdir"),
    [("", "outputs/moe/latest/tb"), (" outputs=/a/b", "/a/b/moe/latest/tb")],
)
def test_commands_keep_what_was_typed_and_change_one_thing(typed: str, logdir: str):
    study = trained(command=f"python -m runner experiment=moe n_seeds=8{typed}", scale="quick")
    known = ["experiment=moe", *shlex.split(typed)]
    begin = ["python", "-m", "runner"]
    assert [shlex.split(command) for command in commands(study)] == [
        ["tensorboard", "--logdir", logdir],
        [*begin, known[0], "n_seeds=8", *known[1:], "scale=full", "plan=only"],
        [*begin, *known, "n_seeds=9"],
        [*begin, known[0], "n_seeds=8", *known[1:], "tune=lr"],
    ]


def test_a_smoke_run_leads_to_the_study_and_a_tuned_one_needs_no_tuning():
    smoke = trained(command="python -m runner experiment=moe scale=smoke", scale="smoke")
    assert commands(smoke)[0] == "python -m runner experiment=moe scale=quick"
    tuned = trained(command="python -m runner experiment=moe", tuned={"dense": "training.lr=0.1"})
    assert not any("tune=lr" in command for command in commands(tuned))
    full = trained(command="python -m runner experiment=moe scale=full", scale="full")
    assert not any("plan=only" in command for command in commands(full))
