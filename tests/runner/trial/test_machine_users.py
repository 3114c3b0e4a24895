"""The trials of other studies that a trial waits for or disturbs, by experiment and process."""

import contextlib
import multiprocessing
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from runner.config import Scale
from runner.records import locks, private_folders
from runner.records.job import Job, Stage
from runner.study.entries import make_job, prepare_trials
from runner.trial import machine_lock, machine_users
from runner.trial.compute import DISTURBED_NOTE, compute_stage
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
    notes = [str(event["note"]) for event in events if "note" in event]
    if others is Stage.timing:
        (note,) = notes
        assert note.startswith("moe (process 4711) times its trials now")
        assert note.endswith("the times of both may be disturbed")
    else:
        assert notes == []


def is_marked(pid: int | None) -> bool:
    return (private_folders.lock_folder() / f"{machine_users.DISTURBED}{pid}").exists()


def test_a_timing_is_marked_that_a_smoke_run_disturbs(job: Job):
    smoke = replace(job, command_pid=1, scale=Scale.smoke)
    with other_trial(job, Stage.timing, 4711) as timing:
        assert not is_marked(timing.pid)
        compute_stage(smoke, lambda _: None)
        assert is_marked(timing.pid)
    assert not is_marked(timing.pid)  # its process has ended


def test_a_timing_notes_a_smoke_run_that_computes_without_the_lock(job: Job):
    timing = replace(job, stage=Stage.timing, command_pid=2)
    with announce_use(replace(job, command_pid=1, scale=Scale.smoke)) as mark_smoke:
        for disturbs in (False, True):
            mark_smoke(disturbs)
            begun, release = CONTEXT.Event(), CONTEXT.Event()
            process = CONTEXT.Process(target=use, args=(timing, begun, release))
            process.start()
            assert begun.wait(30)
            assert is_marked(process.pid) == disturbs
            release.set()
            process.join(30)
    assert not machine_users.is_disturbed()


def test_the_result_of_a_disturbed_timing_says_so(plan, monkeypatch: pytest.MonkeyPatch):
    words = ("experiment=flash_attention", "scale=smoke", "arm=tiled", "n_seeds=1")
    study_plan = plan(*words, "options.lengths=[16]", "options.rounds=1")
    (entry,) = prepare_trials(study_plan)
    for stage in Stage:
        monkeypatch.setattr("runner.trial.compute.is_disturbed", lambda: True)
        compute_stage(make_job(study_plan, entry, stage), lambda _: None)
    result = entry.slot.result()
    assert result is not None
    assert result["notes"] == [DISTURBED_NOTE]


def test_no_draft_stays(job: Job, monkeypatch: pytest.MonkeyPatch):
    folder = private_folders.lock_folder()
    old, new = (folder / f"{machine_users.DRAFT_PREFIX}{number}" for number in (1, 2))
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    with monkeypatch.context() as patch:
        patch.setattr(locks, "fcntl", None)
        with announce_use(job):
            pass
    assert [path for path in folder.iterdir() if path.name != "machine.lock"] == [new]


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
