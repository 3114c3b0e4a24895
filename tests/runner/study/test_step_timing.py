"""Step times measured alone: which trials are timed, the samples, passes, records, the report."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from runner.metric_names import STEP_ALONE
from runner.plan.report_spec import read_report_spec
from runner.plan.timed_arms import find_timed_arms
from runner.records import provenance
from runner.records.job import Job, Stage
from runner.records.step_times import (
    STEP_TIME,
    StepTimes,
    StepTimingJob,
    read_step_times,
    write_step_times,
)
from runner.records.store import Slot
from runner.report.collection import final_values, snapshot_trials, trial_table
from runner.study import step_timing
from runner.study.entries import list_trials, make_job
from runner.trial.step_timing import StepTimingError, measure_steps, time_training_steps
from tests.support.tiny import TINY

MACHINE = {"processor": "one"}
CLOCK = (
    "+claims.clock={kind: at_equal_seconds, metric: val/loss, arm: moe_top2, control: dense, "
    "direction: greater, n: 6, family: c, source: s, statement: s, "
    "aa: {arm: moe_top2_copy, control: moe_top2}}"
)


def timing_job(entry, plan, passes=0, n_steps=3, n_warmup=1):
    job = make_job(plan, entry, Stage.timing)
    values = {f.name: getattr(job, f.name) for f in fields(Job)} | {"passes": passes}
    return StepTimingJob(**values, n_steps=n_steps, n_warmup=n_warmup)


@pytest.fixture
def job(plan):
    study_plan = plan(*TINY, "arm=dense", "n_seeds=1")
    tiny = timing_job(list_trials(study_plan)[0], study_plan)
    tiny.slot.folder.mkdir(parents=True)
    return tiny


@pytest.fixture(autouse=True)
def _keep_handlers(monkeypatch):
    monkeypatch.setattr("runner.trial.step_timing.signal.signal", lambda *_: None)


def test_the_page_trains_in_a_temporary_folder_until_enough_steps_are_timed(job):
    seconds = measure_steps(job)
    assert len(seconds) == 3
    assert all(0 < each < 60 for each in seconds)
    assert not list(job.slot.folder.iterdir())
    assert len(measure_steps(replace(job, n_steps=99))) == 5  # of 6 steps, one warms up


def test_steps_are_timed_without_evaluations(job, monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr("runner.trial.step_timing.time.perf_counter", lambda: next(ticks))
    # From the log of a step to the next one, the clock is read before and after the step itself.
    assert measure_steps(job) == [3, 3, 3]


def test_each_pass_adds_samples_once_and_the_record_is_sealed(job):
    events = []
    time_training_steps(job, events.append)
    time_training_steps(job, events.append)  # another process has added this pass
    machine = provenance.machine()
    times = read_step_times(job.slot, job.code, machine)
    assert (times.passes, len(times.samples)) == (1, 3)
    time_training_steps(replace(job, passes=1), events.append)
    times = read_step_times(job.slot, job.code, machine)
    assert (times.passes, len(times.samples)) == (2, 6)
    assert job.slot.status()["state"] == "pending"  # the trial itself is not touched


def test_a_page_that_trains_nothing_has_no_step_time(plan):
    study_plan = plan(
        *("experiment=flash_attention", "scale=smoke", "arm=fused", "n_seeds=1"),
        *("options.lengths=[16]", "options.length=16", "model.d_model=32"),
    )
    flash = timing_job(list_trials(study_plan)[0], study_plan)
    flash.slot.folder.mkdir(parents=True)
    with pytest.raises(StepTimingError, match="it has no training step after 1 steps of warm-up"):
        time_training_steps(flash, lambda _: None)


def test_a_timing_that_a_smoke_run_disturbed_does_not_count(job, monkeypatch):
    monkeypatch.setattr("runner.trial.step_timing.is_disturbed", lambda: True)
    with pytest.raises(StepTimingError, match="a smoke run computed at the same time"):
        time_training_steps(job, lambda _: None)
    assert not (job.slot.folder / STEP_TIME).exists()


def test_times_of_another_machine_or_code_and_changed_ones_are_missing(tmp_path: Path):
    slot = Slot(tmp_path)
    write_step_times(slot, "code", MACHINE, StepTimes((0.1, 0.3, 0.2), 1))
    times = read_step_times(slot, "code", MACHINE)
    assert times == StepTimes((0.1, 0.3, 0.2), 1)
    assert times.median == 0.2
    assert read_step_times(slot, "other", MACHINE) is None
    assert read_step_times(slot, "code", {"processor": "two"}) is None
    record = json.loads((tmp_path / STEP_TIME).read_text())
    record["samples"]["step"][0] = 0.05
    (tmp_path / STEP_TIME).write_text(json.dumps(record))
    assert read_step_times(slot, "code", MACHINE) is None
    for text in ("", "[]", '{"samples": 1}'):
        (tmp_path / STEP_TIME).write_text(text)
        assert read_step_times(slot, "code", MACHINE) is None


def timed_arms(study_plan):
    return find_timed_arms(read_report_spec(study_plan.study), study_plan.arms)


def test_only_the_arms_of_a_claim_that_needs_it_are_timed(plan):
    arms = "arm=[dense,moe_top2,moe_top2_copy,moe_bias]"
    study_plan = plan(*TINY, arms)
    assert timed_arms(study_plan) == []
    assert not [note for note in study_plan.notes if "timed" in note]
    study_plan = plan(*TINY, arms, CLOCK)
    assert timed_arms(study_plan) == ["dense", "moe_top2", "moe_top2_copy"]
    (note,) = [note for note in study_plan.notes if "timed" in note]
    assert "steps of dense, moe_top2, moe_top2_copy are timed alone" in note
    headline = f"headline=[{{metric: {STEP_ALONE}, direction: less, label: time}}]"
    assert len(timed_arms(plan(*TINY, arms, headline))) == 4


@pytest.fixture
def finished(plan, monkeypatch):
    """A plan whose trials count as done, and the passes that a simulated machine took."""
    study_plan = plan(
        *(*TINY, "scale=quick", "training.warmup_steps=2", "n_seeds=3"),
        *("arm=[dense,moe_top2,moe_top2_copy]", CLOCK),
    )
    passes = []

    class Machine:
        noise = 0.0

        def run_jobs(self, jobs, workers, on_event):
            assert workers == 1
            passes.append([(job.arm, job.seed, job.passes) for job in jobs])
            for job in jobs:
                on_event(job, {"state": "started", "pid": 1})
                on_event(job, {"state": "computing"})
                earlier = read_step_times(job.slot, job.code, provenance.machine())
                seconds = 0.1 * (1 + self.noise * job.seed)
                samples = (*(earlier.samples if earlier else ()), seconds)
                if job.arm == "dense" and job.seed == 2:
                    on_event(job, {"state": "failed", "message": "no memory"})
                    on_event(job, {"state": "ended", "exitcode": 1, "pid": 1})
                    continue
                times = StepTimes(samples, job.passes + 1)
                write_step_times(job.slot, job.code, provenance.machine(), times)
                on_event(job, {"state": "ended", "exitcode": 0, "pid": 1})

    machine = Machine()
    monkeypatch.setattr("runner.study.pool.run_jobs", machine.run_jobs)
    entries = list_trials(study_plan)
    entries = [replace(entry, unwritten_status={"state": "done"}) for entry in entries]
    return study_plan, entries, machine, passes


def test_noisy_times_are_measured_again_within_the_limits(finished):
    study_plan, entries, machine, passes = finished
    machine.noise = 0.3
    study_plan.study.timing.passes = 3
    step_timing.time_steps_alone(study_plan, entries)
    assert [len(each) for each in passes] == [9, 8, 8]  # a trial that fails is not tried again
    assert [{p for *_, p in each} for each in passes] == [{0}, {1}, {2}]
    (failed,) = [note for note in study_plan.notes if "could not be timed" in note]
    assert failed == "dense seed 2: its steps could not be timed: no memory"
    assert any("timing.passes=3 allows no further pass" in note for note in study_plan.notes)
    step_timing.time_steps_alone(study_plan, [e for e in entries if e.arm.name != "dense"])
    assert len(passes) == 3  # all of them have times


def test_a_quiet_machine_times_once_and_diverged_trials_are_left_out(finished):
    study_plan, entries, _, passes = finished
    entries[1] = replace(entries[1], unwritten_status={"state": "diverged"})
    step_timing.time_steps_alone(study_plan, entries)
    assert [len(each) for each in passes] == [8]


def test_the_median_becomes_a_metric_of_trials_that_have_not_diverged(finished):
    study_plan, entries, *_ = finished
    step_timing.time_steps_alone(study_plan, entries)
    times = step_timing.read_all_step_times(study_plan, entries)
    snapshots = [
        replace(one, result={"results": [{"metric": "val/loss", "value": 1.0, "unit": "mse"}]})
        for one in snapshot_trials(entries)
    ]
    snapshots[0] = replace(snapshots[0], status={"state": "diverged"})
    results = final_values(snapshots, times)
    rows = results[results.metric == STEP_ALONE]
    assert len(rows) == 7  # of nine, one has diverged and one has failed
    assert set(rows.value) == {0.1}
    assert set(rows.unit) == {"s"}
    assert len(final_values(snapshots)) == 9  # without such a claim
    assert trial_table(snapshots, times).passes.tolist().count(1) == 8
