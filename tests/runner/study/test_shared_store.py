"""Two commands that use one store at a time, on a disk without file locks."""

import pytest
from filelock import FileLock

from runner.config import StudyError
from runner.plan.plan import Plan
from runner.records.arm_folders import SIGNATURE, read_signature, write_signature
from runner.records.job import Stage
from runner.records.store import Store
from runner.study import entries as entries_module
from runner.study import run as study
from runner.study.entries import Entry, list_trials, make_job, prepare_trials, raise_if_any_failed
from runner.trial.compute import compute_stage
from tests.conftest import MakePlan
from tests.support.tiny import TINY

OTHER = "0123456789abcdef"


@pytest.fixture
def two_plans(plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, Plan]:
    """Return the plans of two commands with different arms of one name; no lock works."""

    def acquire(*_: object, **__: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    words = (*TINY, "arm=dense", "n_seeds=1")
    return plan(*words), plan(*words, "training.steps=4")


def test_two_arms_never_share_a_folder(two_plans, monkeypatch: pytest.MonkeyPatch):
    first, second = two_plans
    honest, listed = list_trials, list[Entry]()

    def list_then_let_the_other_prepare(plan: Plan) -> list[Entry]:
        entries = honest(plan)
        if plan is second and not listed:
            listed.extend(entries)
            prepare_trials(first)
        return entries

    monkeypatch.setattr(entries_module, "list_trials", list_then_let_the_other_prepare)
    second.notes[:] = ["a note"]
    (entry,) = prepare_trials(second)
    (other,) = honest(first)
    assert listed[0].slot.arm_folder.name == other.slot.arm_folder.name == "dense"
    assert entry.slot.arm_folder.name == f"dense-{second.arms[0].signature[:6]}"
    for each in (entry, other):
        assert read_signature(each.slot.arm_folder) == each.arm.signature
    assert second.notes == ["a note"]


def test_a_command_ends_if_others_take_every_folder(two_plans, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(entries_module, "claim_arm_folders", lambda *_: False)
    with pytest.raises(StudyError, match="other commands use the folders"):
        prepare_trials(two_plans[0])


def test_a_trial_refuses_the_folder_of_another_arm(two_plans):
    plan, _ = two_plans
    (entry,) = prepare_trials(plan)
    write_signature(entry.slot.arm_folder, OTHER)
    with pytest.raises(StudyError, match="belongs to another arm"):
        compute_stage(make_job(plan, entry, Stage.run), lambda _: None)
    assert [path.name for path in entry.slot.arm_folder.iterdir()] == [SIGNATURE]
    assert read_signature(entry.slot.arm_folder) == OTHER


def test_a_result_of_another_arm_is_never_taken_for_the_trials(
    two_plans, monkeypatch: pytest.MonkeyPatch, capsys
):
    plan, _ = two_plans

    def run_jobs(jobs, workers, on_event) -> None:  # noqa: ARG001
        for job in jobs:
            write_signature(job.slot.arm_folder, OTHER)
            job.slot.write_result({"code": job.code, "results": []})
            job.slot.write_status("done")
            on_event(job, {"state": "started", "pid": 1})
            on_event(job, {"state": "failed", "message": "StudyError: it belongs to another arm"})
            on_event(job, {"state": "ended", "exitcode": 1, "pid": 1})

    monkeypatch.setattr("runner.study.pool.run_jobs", run_jobs)
    (entry,) = study.run_trials(plan)
    assert entry.slot.arm_folder.name != "dense"
    assert entry.slot.result() is None
    with pytest.raises(StudyError, match="it belongs to another arm"):
        raise_if_any_failed(plan, [entry])
    assert "dense seed 0: failed" in capsys.readouterr().out
    other = Store(plan.outputs, plan.experiment).slot("dense", OTHER, 0)
    assert other.status()["state"] == "done"  # its record is not changed
