"""What a trial waits for: the trials of other studies, named by experiment and process."""

import contextlib
import multiprocessing
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from runner.config import Scale
from runner.records import private_folders
from runner.records.job import Job, Stage
from runner.study.entries import make_job, prepare_trials
from runner.trial import machine_lock, machine_users
from runner.trial.compute import compute_stage
from runner.trial.machine_users import MachineUser, announce_use, describe_wait, other_users
from tests.support.tiny import TINY

CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


@pytest.fixture
def job(plan) -> Job:
    study_plan = plan(*TINY, "arm=dense", "n_seeds=1")
    (entry,) = prepare_trials(study_plan)
    return make_job(study_plan, entry, Stage.run)


def use(job: Job, begun, release) -> None:
    """Use the machine as a trial does, until the test releases it."""
    with (
        announce_use(job) as mark_held,
        machine_lock.lock_machine(
            exclusive=job.stage is Stage.timing, on_wait=begun.set, on_failure=pytest.fail
        ),
    ):
        mark_held()
        begun.set()
        release.wait(30)


@contextlib.contextmanager
def other_trial(job: Job, stage: Stage, command_pid: int):
    """Let another process use the machine."""
    other = replace(job, stage=stage, command_pid=command_pid, scale=Scale.quick)
    begun, release = CONTEXT.Event(), CONTEXT.Event()
    process = CONTEXT.Process(target=use, args=(other, begun, release))
    process.start()
    assert begun.wait(30)
    try:
        yield process
    finally:
        if process.is_alive():  # setting the event of a killed process would wait for ever
            release.set()
        process.join(30)


def test_a_trial_says_which_study_it_waits_for(job: Job):
    timing = replace(job, stage=Stage.timing, command_pid=1)
    run = replace(timing, stage=Stage.run)
    with other_trial(job, Stage.run, 4711):
        assert other_users(1) == [MachineUser("moe", "run", 4711, holds=True)]
        expected = "timing needs the machine for itself, and trials of moe (process 4711) run"
        assert describe_wait(timing) == expected
        with other_trial(job, Stage.timing, 4712):  # waits for the first
            assert describe_wait(run).startswith("moe (process 4712) times its trials")
    with other_trial(job, Stage.run, 1):
        assert other_users(1) == []  # of the same study
        assert "other trials use it" in describe_wait(timing)
    assert other_users(1) == []
    assert describe_wait(run).startswith("another study times its trials")


def test_a_killed_trial_is_not_waited_for(job: Job):
    with other_trial(job, Stage.run, 4711) as process:
        process.kill()
        process.join()
        assert other_users(1) == []
    folder = private_folders.lock_folder()
    assert not list(folder.glob(f"{machine_users.PREFIX}*"))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"experiment": 1, "stage": 2}', "\x00"])
def test_a_damaged_file_names_nobody(job: Job, text: str):
    with announce_use(replace(job, command_pid=4711)):
        path = private_folders.lock_folder() / f"{machine_users.PREFIX}{os.getpid()}"
        assert other_users(1) == [MachineUser("moe", "run", 4711)]
        path.write_text(text)
        assert other_users(1) == []
    assert not path.exists()


def test_where_nothing_can_be_written_nobody_is_named(job: Job, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    with announce_use(job) as mark_held:
        mark_held()
        assert other_users(1) == []


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("others", Stage)
def test_a_smoke_run_waits_for_no_other_study(job: Job, stage: Stage, others: Stage):
    events: list[dict[str, object]] = []
    with other_trial(job, others, 4711), contextlib.suppress(AttributeError):
        compute_stage(replace(job, stage=stage, scale=Scale.smoke), events.append)  # no `timing`
    states = [event.get("state") for event in events]
    assert "waiting" not in states
    assert "computing" in states


def test_the_timings_of_others_wait_for_a_smoke_run(job: Job):
    waits: list[str] = []
    with (
        machine_lock.lock_machine(
            exclusive=False, waits=False, on_wait=pytest.fail, on_failure=pytest.fail
        ),
        other_trial(job, Stage.timing, 4711),
    ):
        run = replace(job, command_pid=1)
        waits.append(describe_wait(run))
        (user,) = other_users(1)
        assert not user.holds
    assert waits[0].startswith("moe (process 4711)")


@pytest.mark.parametrize("waits", [True, False])
def test_an_error_in_the_block_is_not_taken_for_a_failed_lock(waits: bool):
    with (
        pytest.raises(OSError, match="of the trial"),
        machine_lock.lock_machine(
            exclusive=False, waits=waits, on_wait=pytest.fail, on_failure=pytest.fail
        ),
    ):
        raise OSError("of the trial")
