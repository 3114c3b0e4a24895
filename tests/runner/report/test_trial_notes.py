"""Trials of other versions or machines are told, and their times are not compared."""

import dataclasses

import pandas as pd
import pytest

from runner.report import page, tables, trial_notes
from runner.stats import comparison
from tests.support.sample_study import make_results, make_study, make_trials

HERE = {"processor": "A", "cores": 2}
NEW, OLD = {"torch": "2.13.0", "numpy": "2.3"}, {"torch": "2.12.0", "numpy": "2.3"}


def trials_of(**columns):
    """The sample's trials; a column has one value, and another for the first three trials."""
    trials = make_trials()
    for name, (usual, first) in columns.items():
        trials[name] = [first if i < 3 else usual for i in range(len(trials))]
    return trials


def test_nothing_is_said_where_all_agree_or_nothing_is_known():
    assert trial_notes.environment_notes(make_trials()) == []
    assert trial_notes.environment_notes(trials_of(versions=(NEW, NEW), machine=(HERE, HERE))) == []
    assert (
        trial_notes.environment_notes(trials_of(versions=(NEW, None), machine=(None, None))) == []
    )


def test_other_versions_and_machines_are_told_with_their_trials():
    elsewhere = HERE | {"cores": 8}
    notes = trial_notes.environment_notes(trials_of(versions=(NEW, OLD), machine=(HERE, elsewhere)))
    who = "3 of 32 trials (dense seed 0, dense seed 1, dense seed 2) were computed"
    assert notes[0] == f"{who} with torch 2.12.0, the others with torch 2.13.0"
    assert notes[1] == f"{who} on another machine: cores 8; not cores 2"
    assert "left out of the cost table" in notes[2]
    assert trial_notes.count_environments(trials_of(versions=(NEW, OLD)), "versions") == [
        NEW | {"trials": 29},
        OLD | {"trials": 3},
    ]


def test_times_of_different_machines_are_left_out_of_the_cost_table():
    summary = comparison.summarise_arms(make_results())
    study = make_study(trials=trials_of(machine=(HERE, HERE)))
    assert f"{study.label('time/step')} (ms)" in tables.cost_table(study, summary)["head"]
    mixed = dataclasses.replace(study, trials=trials_of(machine=(HERE, {"processor": "B"})))
    assert tables.cost_table(mixed, summary)["head"] == [
        study.label("cost/parameters"),
        f"{study.label('cost/flops_per_token')} (FLOPs/token)",
    ]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python -m runner experiment=moe", "python -m runner experiment=moe arm=fine"),
        (
            "python -m runner experiment=moe scale=full 'arm=[dense,fine]' tune=lr "
            """'+arms.fine=["ffn=moe","ffn.n_experts=32"]'""",
            "python -m runner experiment=moe scale=full tune=lr "
            """'+arms.fine=["ffn=moe","ffn.n_experts=32"]' arm=fine""",
        ),
    ],
)
def test_one_arm_alone_keeps_what_else_was_typed(command: str, expected: str):
    study = make_study(command=command)
    assert page._arm_command(study, "fine", ["ffn=moe"]) == (expected, "ffn=moe")


def test_a_name_that_hydra_would_misread_is_quoted():
    study = make_study()
    assert page._arm_command(study, "my arm", [])[0].endswith("""'arm="my arm"'""")
    assert page._arm_command(study, "4", [])[0].endswith("""'arm="4"'""")


def test_trials_that_are_done_tell_of_their_spikes_and_no_others():
    rows = [("x", seed, "done", f"spiked to {seed}") for seed in range(5)]
    rows += [("y", 0, "done", ""), ("y", 1, "diverged", "the loss is nan")]
    trials = pd.DataFrame(rows, columns=["arm", "seed", "status", "message"])
    lines = trial_notes.message_notes(trials)
    assert lines[0] == "x seed 0: spiked to 0"
    assert lines[-1] == "2 more messages of this kind"
    assert len(lines) == 4
    assert not trial_notes.message_notes(trials.iloc[5:])
