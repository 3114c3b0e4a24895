"""The inventory of outputs: states, references, sizes, stale code, links and unknown files."""

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runner.inventory.disk_usage import DiskUsage, measure_all
from runner.inventory.inventory import (
    ExperimentInventory,
    take_experiment_inventory,
    take_inventory,
)
from runner.inventory.stale_code import CurrentCode
from runner.inventory.stored_trials import TrialState
from runner.plan.plan import Plan
from runner.records import locks
from runner.report.run_cards import list_experiment_folders
from runner.study.store_use import USE_LOCK, use_trials
from tests.support.finished_study import (  # noqa: F401 (fixtures)
    finished_outputs,
    finished_plan,
    finished_study_folder,
)
from tests.support.made_store import make_run, make_trial


def only(outputs: Path, code: CurrentCode | None = None) -> ExperimentInventory:
    (name,) = list_experiment_folders(outputs)
    return take_experiment_inventory(outputs / name, DiskUsage(), code)


def test_states_are_counted_and_a_locked_trial_is_running(tmp_path: Path):
    for seed, state in enumerate(["done", "diverged", "failed", "killed", "running", "untimed"]):
        make_trial(tmp_path, "a", seed, state=state)
    assert [only(tmp_path).count(state) for state in TrialState] == [2, 1, 3, 0]
    lock = tmp_path / "moe" / "trials" / "a" / "seed-4" / "lock"
    with locks.open_lock_file(lock) as descriptor:
        locks.lock(descriptor, exclusive=True, on_wait=pytest.fail)
        assert [only(tmp_path).count(state) for state in TrialState] == [2, 1, 2, 1]
        assert [trial.seed for trial in only(tmp_path).unreferenced] == [0, 1, 2, 3, 5]


def test_a_trial_is_referenced_by_any_run_also_by_its_previous_records(tmp_path: Path):
    for seed in range(4):
        make_trial(tmp_path, "a", seed)
    make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 0)])
    run = make_run(tmp_path, "2026-11-26_04-51-01_quick", [("a", 2)])
    study = json.loads((run / "study.json").read_text())
    study["trials"][0]["folder"] = "../../trials/a/seed-2/previous"
    (run / "study.json").write_text(json.dumps(study))
    assert [trial.seed for trial in only(tmp_path).unreferenced] == [1, 3]


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"trials": []}', '{"trials": [{"arm": "a"}]}', '{"trials": [7]}']
)
def test_a_damaged_run_leaves_its_references_unknown(tmp_path: Path, content: str):
    make_trial(tmp_path, "a", 0)
    run = make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 0)])
    assert only(tmp_path).unknown_references == ""
    (run / "study.json").write_text(content)
    assert only(tmp_path).unknown_references.startswith(f"runs/{run.name}: study.json ")


def test_a_run_that_is_a_link_leaves_its_references_unknown(tmp_path: Path):
    make_trial(tmp_path, "a", 0)
    (tmp_path / "moe" / "runs").mkdir()
    (tmp_path / "moe" / "runs" / "linked").symlink_to(tmp_path)
    assert only(tmp_path).unknown_references == "runs/linked is a link"


def test_a_run_without_a_finished_report_refers_to_nothing(tmp_path: Path):
    make_trial(tmp_path, "a", 0)
    run = make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 0)])
    (run / "study.json").unlink()
    assert only(tmp_path).unknown_references == ""
    assert len(only(tmp_path).unreferenced) == 1


def test_the_trials_of_a_tuning_count_as_referenced_while_a_tuned_run_exists(tmp_path: Path):
    tuned = make_trial(tmp_path, "a.0.1", 50)
    arm = {"config": {"experiment": "moe", "evaluation": "tuning"}}
    (tuned.arm_folder / "arm.json").write_text(json.dumps(arm))
    make_trial(tmp_path, "a", 0)
    run = make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 0)])
    assert [trial.arm for trial in only(tmp_path).unreferenced] == ["a.0.1"]
    (run / "tuning.csv").write_text("arm,value,seed,metric\n")
    assert only(tmp_path).unreferenced == []


def test_sizes_are_those_of_du(tmp_path: Path):
    outputs = tmp_path / "outputs"
    for seed in range(3):
        make_trial(outputs, "a", seed)
    make_run(outputs, "2026-11-26_04-51-00_quick", [("a", 0)])
    os.link(outputs / "moe/trials/a/seed-0/metrics.csv", outputs / "moe/trials/a/seed-1/run.json")
    (outputs / "corpora").mkdir()
    (outputs / "corpora" / "text.npz").write_bytes(bytes(50_000))
    du = subprocess.run(
        ["du", "-s", "-B1", outputs], capture_output=True, text=True, check=True
    ).stdout
    expected = int(du.split()[0]) - outputs.stat().st_blocks * 512
    inventory = take_inventory(outputs)
    (moe,) = inventory.experiments
    assert moe.weights > 3 * 9000
    assert moe.weights + moe.records + moe.reports + moe.other + inventory.other == expected
    assert measure_all([outputs / "absent"]) == 0


def test_links_are_not_followed_and_are_named(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    outputs = tmp_path / "outputs"
    make_trial(elsewhere, "big", 0)
    slot = make_trial(outputs, "a", 0)
    (outputs / "moe" / "trials" / "linked").symlink_to(elsewhere / "moe" / "trials" / "big")
    (outputs / "linked").symlink_to(elsewhere / "moe")
    (slot.folder / "tables").symlink_to(elsewhere)
    (outputs / "moe" / "latest").symlink_to("runs/absent")
    inventory = only(outputs)
    assert [trial.arm for trial in inventory.trials] == ["a"]
    assert inventory.trials[0].unknown == ("tables",)
    named = [os.path.relpath(link, outputs) for link in inventory.links]
    assert sorted(named) == ["moe/trials/a/seed-0/tables", "moe/trials/linked"]
    assert inventory.trials[0].size < 60_000


def test_a_file_that_is_not_ablabs_is_named(tmp_path: Path):
    slot = make_trial(tmp_path, "a", 0)
    (slot.folder / "notes.txt").write_text("mine")
    (slot.folder / ".status.json.0123456789ab").touch()  # a draft of a killed process
    assert only(tmp_path).trials[0].unknown == ("notes.txt",)


def test_whatever_lies_in_outputs_is_counted_without_an_error(tmp_path: Path):
    trials = tmp_path / "moe" / "trials"
    (trials / "a" / "seed-x").mkdir(parents=True)
    (trials / "a" / "seed-1").write_text("a file")
    (trials / "a" / "seed-2").mkdir()
    (trials / "a" / "seed-3" / "status.json").mkdir(parents=True)
    os.mkfifo(trials / "a" / "pipe")
    (tmp_path / "moe" / "runs").write_text("a file")
    (tmp_path / "file").write_text("x")
    inventory = only(tmp_path)
    assert [(trial.seed, trial.state) for trial in inventory.trials] == [
        (3, TrialState.interrupted)
    ]
    assert inventory.runs == ()


def test_another_format_is_told_apart(tmp_path: Path):
    for seed, record_format in enumerate([1, 99]):
        slot = make_trial(tmp_path, "a", seed)
        status = json.loads((slot.folder / "status.json").read_text())
        (slot.folder / "status.json").write_text(json.dumps(status | {"format": record_format}))
    trials = only(tmp_path).trials
    assert [trial.has_other_format for trial in trials] == [True, True]
    assert [trial.is_newer for trial in trials] == [False, True]


def test_stale_code_is_that_which_a_run_would_compute_again(
    finished_outputs: Path,  # noqa: F811
    finished_plan: Plan,  # noqa: F811
):
    assert only(finished_outputs, CurrentCode()).stale == frozenset()
    status = next((finished_outputs / "moe" / "trials").glob("dense/seed-0/status.json"))
    status.write_text(status.read_text().replace(finished_plan.arms[0].code, "0" * 16))
    assert only(finished_outputs, CurrentCode()).stale == {("dense", "seed-0")}
    assert only(finished_outputs).unreferenced == []
    # The code of an option that is not registered is unknown.
    arm = status.parents[1] / "arm.json"
    arm.write_text(arm.read_text().replace('"moe"', '"of_a_plug_in"'))
    assert only(finished_outputs, CurrentCode()).stale == frozenset()


def test_a_store_in_use_says_so(tmp_path: Path):
    make_trial(tmp_path, "a", 0)
    assert not only(tmp_path).in_use
    with use_trials(tmp_path, "moe"), use_trials(tmp_path, "moe"):
        assert only(tmp_path).in_use
    assert not only(tmp_path).in_use


def test_a_file_with_two_names_counts_once(tmp_path: Path):
    (tmp_path / "a").write_bytes(bytes(100_000))
    os.link(tmp_path / "a", tmp_path / "b")
    usage = DiskUsage()
    assert usage.measure(tmp_path / "a") >= 100_000
    assert usage.measure(tmp_path / "b") == 0


def test_a_study_that_computes_nothing_leaves_no_folder(tmp_path: Path):
    with use_trials(tmp_path / "new", "moe"):
        assert only(tmp_path / "new").in_use
    assert list(tmp_path.iterdir()) == []
    with use_trials(tmp_path / "new", "moe"):
        make_trial(tmp_path / "new", "a", 0)
    assert not only(tmp_path / "new").in_use


def test_a_study_that_ends_early_leaves_the_lock_of_another_one(tmp_path: Path):
    with contextlib.ExitStack() as other:
        with use_trials(tmp_path / "new", "moe"):  # it is refused, so that no trial is written
            other.enter_context(use_trials(tmp_path / "new", "moe"))
        assert only(tmp_path / "new").in_use


def test_a_lock_file_that_was_removed_before_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lock, removed = locks.lock, []

    def remove_first(descriptor: int, **options: Any) -> bool:
        if not removed:
            removed.append((tmp_path / "moe" / "trials" / USE_LOCK).unlink())
        return lock(descriptor, **options)

    monkeypatch.setattr("runner.study.store_use.locks.lock", remove_first)
    with use_trials(tmp_path, "moe"):
        assert removed
        assert only(tmp_path).in_use
