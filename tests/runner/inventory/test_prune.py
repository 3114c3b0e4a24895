"""Pruning deletes no trial that is referenced or running; a kill leaves no half of a trial."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from runner.inventory import deletion
from runner.inventory.disk_usage import DiskUsage
from runner.inventory.inventory import take_experiment_inventory
from runner.inventory.prune_plan import PrunePlan, PruneRequest, make_prune_plan
from runner.records import locks
from runner.records.files import list_names
from runner.records.step_times import StepTimes, write_step_times
from runner.records.store import Slot, Store
from runner.report.run_cards import list_experiment_folders
from runner.study.store_use import use_trials
from tests.support.made_store import (
    FINISHED,
    make_random_store,
    make_run,
    make_trial,
    trials_below,
)

UNREFERENCED = PruneRequest(unreferenced=True)


def listed(outputs: Path, request: PruneRequest) -> list[PrunePlan]:
    return [
        make_prune_plan(take_experiment_inventory(outputs / name, DiskUsage()), request)
        for name in list_experiment_folders(outputs)
    ]


def prune(outputs: Path, request: PruneRequest = UNREFERENCED) -> list[PrunePlan]:
    return [deletion.prune_experiment(plan, request) for plan in listed(outputs, request)]


def weights_below(outputs: Path) -> set[str]:
    """Return the trials that have weights, as `a/seed-0`."""
    trials = outputs / "moe" / "trials"
    paths = trials.glob("[!.]*/seed-*/checkpoint/step-*/weights.safetensors")
    return {os.path.relpath(path.parents[2], trials) for path in paths}


def lock_of(outputs: Path, arm: str, seed: int) -> Path:
    return outputs / "moe" / "trials" / arm / f"seed-{seed}" / "lock"


@pytest.mark.parametrize("number", range(25))
def test_no_referenced_and_no_locked_trial_is_ever_deleted(tmp_path: Path, number: int):
    random = Random(number)
    referenced = make_random_store(tmp_path, random)
    before = trials_below(tmp_path)
    locked = {trial for trial in before if random.random() < 0.3}
    keep = random.choice([None, "all", "best", "none"])
    request = PruneRequest(unreferenced=random.random() < 0.8, keep_weights=keep)
    plans = listed(tmp_path, request)
    is_locked_late = random.random() < 0.5  # the trials begin between the list and the deletion
    with locks.open_lock_file(tmp_path / "other") as _:
        stack = [locks.open_lock_file(lock_of(tmp_path, *trial)) for trial in sorted(locked)]
        for opened in stack:
            locks.lock(opened.__enter__(), exclusive=True, on_wait=pytest.fail)
        if not is_locked_late:
            plans = listed(tmp_path, request)
        done = [deletion.prune_experiment(plan, request) for plan in plans]
        for opened in stack:
            opened.__exit__(None, None, None)
    after = trials_below(tmp_path)
    expected = before - (referenced | locked) if request.unreferenced else set()
    assert before - after == expected
    assert {each.trial.key for plan in done for each in plan.whole} == {
        (arm, f"seed-{seed}") for arm, seed in expected
    }
    for arm, seed in locked:
        assert f"{arm}/seed-{seed}" in weights_below(tmp_path)
    for slot in (Slot(lock_of(tmp_path, *trial).parent) for trial in after):
        assert slot.read_records().unusable_reason == ""
        assert (slot.result() is not None) == (slot.status()["state"] in FINISHED)


def test_a_deleted_trial_leaves_the_time_of_its_first_finish_only(tmp_path: Path):
    finished = make_trial(tmp_path, "a", 0)
    make_trial(tmp_path, "b", 0, state="failed")
    make_trial(tmp_path, "b", 1, state="killed")
    time = finished.first_finish_time()
    (done,) = prune(tmp_path)
    assert len(done.whole) == 3
    trials = tmp_path / "moe" / "trials"
    assert list_names(finished.folder) == ["first.json"]
    assert finished.first_finish_time() == time
    assert list_names(trials) == [".in-use", ".lock", "a"]  # b never finished
    signature = (trials / "a" / "signature").read_text().strip()
    assert [*Store(tmp_path, "moe").slots_by_seed(signature)] == [0]
    assert take_experiment_inventory(tmp_path / "moe", DiskUsage()).trials == ()


def test_nothing_is_deleted_while_a_study_uses_the_trials(tmp_path: Path):
    make_trial(tmp_path, "a", 0)
    plans = listed(tmp_path, UNREFERENCED)
    with use_trials(tmp_path, "moe"):
        done = deletion.prune_experiment(plans[0], UNREFERENCED)
    assert done.deletions == ()
    note = "no run refers to 1 trial, but a running command may use them: they stay"
    assert done.notes == (note,)
    assert trials_below(tmp_path) == {("a", 0)}


def test_a_run_that_was_written_after_the_list_protects_its_trials(tmp_path: Path):
    make_trial(tmp_path, "a", 0)
    make_trial(tmp_path, "a", 1)
    (plan,) = listed(tmp_path, UNREFERENCED)
    assert len(plan.whole) == 2
    make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 1)])
    deletion.prune_experiment(plan, UNREFERENCED)
    assert trials_below(tmp_path) == {("a", 1)}


def test_a_trial_that_came_after_the_list_stays(tmp_path: Path):
    make_trial(tmp_path, "a", 0)
    (plan,) = listed(tmp_path, UNREFERENCED)
    make_trial(tmp_path, "a", 1)
    deletion.prune_experiment(plan, UNREFERENCED)
    assert trials_below(tmp_path) == {("a", 1)}


def test_unknown_references_protect_all_trials_of_their_experiment(tmp_path: Path):
    make_trial(tmp_path, "a", 0)
    make_trial(tmp_path, "a", 0, experiment="ffn")
    run = make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 7)])
    (run / "study.json").write_text("{")
    prune(tmp_path)
    assert trials_below(tmp_path) == {("a", 0)}
    assert trials_below(tmp_path, "ffn") == set()


def test_a_trial_whose_steps_were_timed_has_only_known_files(tmp_path: Path):
    slot = make_trial(tmp_path, "a", 0)
    write_step_times(slot, "c", {"processor": "one"}, StepTimes((0.1,), 1))
    (done,) = prune(tmp_path)
    assert done.notes == ()
    assert trials_below(tmp_path) == set()
    assert list_names(slot.folder) == ["first.json"]


def test_foreign_files_and_newer_trials_stay_and_are_named(tmp_path: Path):
    for seed, name in enumerate(["notes.txt", "tables", "checkpoint/mine"]):
        slot = make_trial(tmp_path, "a", seed)
        if name == "notes.txt":
            (slot.folder / name).write_text("mine")
        else:
            (slot.folder / name).symlink_to(tmp_path)
    newer = make_trial(tmp_path, "a", 3)
    status = json.loads((newer.folder / "status.json").read_text())
    (newer.folder / "status.json").write_text(json.dumps(status | {"format": 99}))
    (done,) = prune(tmp_path, PruneRequest(unreferenced=True, keep_weights="none"))
    assert done.deletions == ()
    assert done.notes == (
        "a seed 0 holds notes.txt, which is not ablab's: it stays",
        "a seed 1 holds tables, which is not ablab's: it stays",
        "a seed 2 holds checkpoint/mine, which is not ablab's: it stays",
        "a seed 3 was written by a newer version of ablab: it stays",
    )
    assert len(weights_below(tmp_path)) == 4


@pytest.mark.parametrize(
    ("keep", "remaining"),
    [("all", {"a/seed-0", "a/seed-1", "a/seed-2", "b/seed-0"}), ("none", set())],
)
def test_weights_go_and_the_results_stay(tmp_path: Path, keep: str, remaining: set[str]):
    slots = [make_trial(tmp_path, "a", seed) for seed in range(3)]
    slots.append(make_trial(tmp_path, "b", 0, state="diverged"))
    killed = make_trial(tmp_path, "c", 0, state="killed")
    make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 0), ("a", 1)])
    results = [slot.result() for slot in slots]
    prune(tmp_path, PruneRequest(keep_weights=keep))
    assert weights_below(tmp_path) == remaining | {"c/seed-0"}  # a run resumes an interrupted trial
    assert [slot.result() for slot in slots] == results
    assert killed.status()["state"] == "killed"


def test_best_is_the_lowest_loss_of_each_arm_without_diverged_trials(tmp_path: Path):
    for seed, loss in enumerate([2.0, 1.5, 1.8]):
        make_trial(tmp_path, "a", seed, loss=loss)
    make_trial(tmp_path, "a", 3, loss=0.1, state="diverged")
    for seed in range(2):
        make_trial(tmp_path, "b", seed, loss=float("nan"))
    prune(tmp_path, PruneRequest(keep_weights="best"))
    assert weights_below(tmp_path) == {"a/seed-1", "b/seed-0"}
    # Another prune changes nothing: the trials without weights have nothing to delete.
    assert all(plan.deletions == () for plan in prune(tmp_path, PruneRequest(keep_weights="best")))


def test_leftover_states_of_the_optimizer_go_and_the_digests_are_renewed(tmp_path: Path):
    slot = make_trial(tmp_path, "a", 0)
    step = slot.folder / "checkpoint" / "step-300"
    (step / "state.pt").write_bytes(bytes(5000))
    digests = {"weights.safetensors": "x", "state.pt": "y", "metrics.csv": {}}
    (step / "sha256.json").write_text(json.dumps(digests))
    (slot.folder / "checkpoint" / "step-200").mkdir()
    (slot.folder / "checkpoint" / ".skipped-100").mkdir()
    prune(tmp_path, PruneRequest(keep_weights="all"))
    assert list_names(step) == ["sha256.json", "weights.safetensors"]
    assert json.loads((step / "sha256.json").read_text()) == {"weights.safetensors": "x"}
    assert list_names(step.parent) == ["step-300"]


def test_only_trials_of_an_age_go(tmp_path: Path):
    for seed, age in enumerate([0, 3600, 10 * 86400]):
        make_trial(tmp_path, "a", seed, age=age)
    prune(tmp_path, PruneRequest(unreferenced=True, keep_weights="none", min_age=86400))
    assert trials_below(tmp_path) == {("a", 0), ("a", 1)}
    assert len(weights_below(tmp_path)) == 2


def killed_at(call: int, action: Callable[[], object]) -> bool:
    """Run an action in a child that is killed at its k-th change of the disk; return whether."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(function: Callable) -> Callable:
            def inner(*args, **kwargs):
                nonlocal count
                count += 1
                if count == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return inner

        for name in ("rename", "replace", "unlink", "rmdir", "mkdir", "link"):
            setattr(os, name, counted(getattr(os, name)))
        try:
            action()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.some(4)
@pytest.mark.parametrize("call", range(1, 33))  # a whole prune changes the disk about 30 times
def test_a_killed_prune_leaves_each_trial_whole_or_gone(tmp_path: Path, call: int):
    request = PruneRequest(unreferenced=True, keep_weights="none")
    slots = {("a", seed): make_trial(tmp_path, "a", seed) for seed in range(2)}
    slots["b", 0] = make_trial(tmp_path, "b", 0, state="failed")
    make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 1)])
    is_killed = killed_at(call, lambda: prune(tmp_path, request))
    assert is_killed or call > 20
    left = trials_below(tmp_path)
    assert ("a", 1) in left
    for trial, slot in slots.items():
        records = slot.read_records()
        assert records.unusable_reason == ""
        assert (records.result is not None) == (trial in left and trial[0] == "a")
    prune(tmp_path, request)
    assert trials_below(tmp_path) == {("a", 1)}
    assert weights_below(tmp_path) == set()
    assert slots["a", 0].first_finish_time() is not None
    assert list_names(tmp_path / "moe" / "trials") == [".in-use", ".lock", "a"]
