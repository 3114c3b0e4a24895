"""Timing passes: their number depends on the noise only, all samples count, and kills."""

import random
from dataclasses import replace
from statistics import median

import pandas as pd
import pytest

from experiments import flash_attention
from runner.config import Timing
from runner.records.job import Job, Stage
from runner.records.store import UNTIMED
from runner.study import run as study
from runner.study.entries import list_trials, make_job, raise_if_any_failed
from runner.study.timing_passes import timing_noise
from runner.trial import compute as trial

ARMS = {"fast": 0.1, "slow": 10.0}
FLASH = (
    *("experiment=flash_attention", "scale=smoke", "arm=[tiled,fused]", "n_seeds=3"),
    *("options.lengths=[16]", "options.length=16", "model.d_model=32"),
)


def timed(spread, arms=ARMS, n_seeds=8, seed=0):
    """Return an arm and the samples of each trial; a trial is slow or quick as a whole."""
    draw = random.Random(seed)
    for arm, seconds in arms.items():
        for _ in range(n_seeds):
            level = seconds * (1 + draw.uniform(-spread, spread))
            yield arm, {"forward": [level] * 3, "backward": [3 * seconds]}


def test_noise_is_the_standard_error_of_an_arms_mean():
    samples_of_a = [("a", {"x": [0.9, 9.0, 0.9]}), ("a", {"x": [1.0]}), ("a", {"x": [1.1]})]
    assert timing_noise(samples_of_a) == (pytest.approx(0.1 / 3**0.5), "x")
    silent = [("b", {"x": [2.0]})] * 3  # over two arms the mean square
    assert timing_noise([*samples_of_a, *silent]) == (pytest.approx(0.1 / 3**0.5 / 2**0.5), "x")


def test_noise_does_not_know_which_arm_is_quicker():
    noise = timing_noise(timed(0.1))
    assert noise == (pytest.approx(0.02, abs=0.01), "forward")
    other = timing_noise(timed(0.1, {"fast": 7.0, "slow": 0.7}))
    assert other == (pytest.approx(noise[0]), "forward")


def test_two_seeds_or_none_tell_no_noise():
    assert timing_noise(timed(0.5, n_seeds=2)) == (0.0, "")
    assert timing_noise([]) == (0.0, "")
    assert timing_noise([("untimed", {})] * 5) == (0.0, "")


@pytest.fixture
def machine(monkeypatch):
    """A machine whose jobs compute nothing; `spread` is the noise of its clock."""

    class Machine:
        spread, seconds, clock = 0.0, 10.0, 0.0
        dies = -1  # the index of the further pass's job at which the machine stops
        fails = ""  # the arm whose further passes fail

        def __init__(self):
            self.orders: list[list[Job]] = []

        def run_jobs(self, jobs, workers, on_event):
            self.orders.append(list(jobs))
            if jobs[0].stage is Stage.timing:
                self.clock += self.seconds
                assert workers == 1
            for index, job in enumerate(jobs):
                on_event(job, {"state": "started", "pid": 1})
                job.slot.folder.mkdir(parents=True, exist_ok=True)
                if job.passes:
                    assert job.slot.reopen_for_timing(job.code, job.passes)
                    job.slot.write_status("running", pid=1, code=job.code)
                    if index == self.dies:
                        raise SystemExit
                    if job.arm == self.fails:
                        on_event(job, {"state": "ended", "exitcode": -9, "pid": 1})
                        continue
                first = job.slot.read_first_stage(job.code) or {}
                passes = max(job.passes, first.get("passes", 0))
                record = {"code": job.code, "results": [], "from_step": 0}
                level = 1 + random.Random(f"{job.arm} {job.seed}").uniform(-1, 1) * self.spread
                if job.stage is Stage.run:
                    job.slot.write_first_stage(record)
                    job.slot.write_status(UNTIMED)
                else:
                    times = {"passes": passes + 1, "samples": {"x": [level]}}
                    job.slot.write_result(record | times)
                    job.slot.write_status("done")
                on_event(job, {"state": "ended", "exitcode": 0, "pid": 1})

    simulated = Machine()
    monkeypatch.setattr("runner.study.pool.run_jobs", simulated.run_jobs)
    monkeypatch.setattr("runner.study.run.time.monotonic", lambda: simulated.clock)
    return simulated


@pytest.mark.parametrize(
    ("spread", "seconds", "passes", "limit"),
    [
        (0.001, 10, 1, ""),  # quiet
        (0.3, 10, 4, "timing.passes=4"),
        (0.3, 25, 3, "timing.minutes=1"),  # two more of 25 s; a third would end after 75
        (0.3, 61, 1, "timing.minutes=1"),
    ],
)
def test_a_noisy_machine_times_again_within_its_limits(
    plan, machine, spread, seconds, passes, limit
):
    machine.spread, machine.seconds = spread, seconds
    study_plan = plan(*FLASH, "timing.passes=4", "timing.minutes=1")
    entries = study.run_trials(study_plan)
    assert {(entry.slot.result() or {})["passes"] for entry in entries} == {passes}
    timings = [jobs for jobs in machine.orders if jobs[0].stage is Stage.timing]
    assert [{job.passes for job in jobs} for jobs in timings] == [{n} for n in range(passes)]
    orders = {tuple((job.seed, job.arm) for job in jobs) for jobs in timings}
    assert len(orders) == 1 if passes == 1 else len(orders) > 1  # in another random order
    assert all([job.seed for job in jobs] == sorted(job.seed for job in jobs) for jobs in timings)
    noise_notes = [note for note in study_plan.notes if "standard error" in note]
    assert len(noise_notes) == bool(limit)
    assert all(limit in note for note in noise_notes)


def test_a_further_pass_leaves_finished_trials_alone(plan, machine, capsys):
    study.run_trials(plan(*FLASH))
    machine.spread = 0.3
    before = len(machine.orders)
    entries = study.run_trials(plan(*FLASH, "n_seeds=6", "timing.passes=2"))
    again = [job.seed for jobs in machine.orders[before:] for job in jobs if job.passes]
    assert set(again) == {3, 4, 5}
    assert {(entry.slot.result() or {})["passes"] for entry in entries if entry.reused} == {1}
    output = capsys.readouterr().out
    assert "[12/12]" in output
    assert "[13/12]" not in output
    assert "timed again" in output


@pytest.mark.some(1)
@pytest.mark.parametrize("dies", [0, 3])
def test_a_run_that_is_killed_within_a_pass_completes_it_when_it_resumes(plan, machine, dies):
    machine.spread, machine.dies = 0.3, dies
    with pytest.raises(SystemExit):
        study.run_trials(plan(*FLASH, "timing.passes=2"))
    killed = [entry.slot.status()["state"] for entry in list_trials(plan(*FLASH))]
    assert sorted(killed) == ["done"] * 5 + ["running"]
    machine.dies = -1
    study_plan = plan(*FLASH, "timing.passes=2")
    entries = study.run_trials(study_plan)
    assert {(entry.slot.result() or {})["passes"] for entry in entries} == {2}
    assert any("standard error" in note and "timing.passes=2" in note for note in study_plan.notes)


def test_a_run_that_reuses_all_still_says_that_its_timings_are_noisy(plan, machine):
    machine.spread = 0.3
    study.run_trials(plan(*FLASH, "timing.passes=2"))
    study_plan = plan(*FLASH, "timing.passes=2")
    assert all(entry.reused for entry in study.run_trials(study_plan))
    (note,) = [note for note in study_plan.notes if "standard error" in note]
    assert note.startswith("after 2 timing passes")
    assert note.endswith("this run reuses all trials and times none again")


def test_a_further_pass_that_fails_leaves_the_result_of_the_passes_before(plan, machine, capsys):
    machine.spread, machine.fails = 0.3, "tiled"
    study_plan = plan(*FLASH, "timing.passes=3")
    entries = study.run_trials(study_plan)
    raise_if_any_failed(study_plan, entries)
    passes = {entry.arm.name: (entry.slot.result() or {})["passes"] for entry in entries}
    assert passes == {"tiled": 1, "fused": 3}
    assert {entry.slot.status()["state"] for entry in entries} == {"done"}
    assert not any((entry.slot.folder / "run.json").exists() for entry in entries)
    assert "not timed again (its process ended with signal SIGKILL" in capsys.readouterr().out
    assert any("after 1 to 3 timing passes" in note for note in study_plan.notes)


@pytest.mark.slow
def test_the_samples_of_all_passes_count(plan):
    study_plan = plan(
        *FLASH, "timing.passes=2", "timing.steady=0", "timing.minutes=9", "options.rounds=2"
    )
    entries = study.run_trials(study_plan)
    for entry in entries:
        result = entry.slot.result()
        assert result is not None
        assert result["passes"] == 2
        value = {row["metric"]: row["value"] for row in result["results"]}
        for name in ("time", "time_backward"):
            samples = result["samples"][f"{name}/length16"]
            assert len(samples) == 2 * 2
            assert value[f"flash/{name}/length16"] == pytest.approx(1e3 * median(samples))
            rows = pd.read_csv(entry.slot.folder / "tables" / "times.csv")
            rows = rows[rows["pass"] == name]
            assert list(rows["round"]) == [0, 1, 2, 3]
            assert list(rows["ms"]) == pytest.approx([1e3 * s for s in samples])
    assert all(entry.reused for entry in study.run_trials(study_plan))


def test_a_pass_that_fails_or_is_killed_costs_only_itself(plan, monkeypatch):
    study_plan = plan(*FLASH, "n_seeds=1", "arm=tiled", "options.rounds=1")
    (entry,) = study.run_trials(study_plan)
    first = entry.slot.result()
    assert first is not None
    again = replace(make_job(study_plan, entry, Stage.timing), passes=1)

    def dies(_: trial.Trial) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flash_attention, "timing", dies)
        events: list[dict[str, object]] = []
        with pytest.raises(KeyboardInterrupt):
            trial.compute_stage(again, events.append)
    assert entry.slot.result() == first
    assert "a further timing pass failed" in str(events)
    # A process that was killed before it restored the result leaves that to the next run.
    assert entry.slot.reopen_for_timing(study_plan.arms[0].code, 1)
    entry.slot.write_status("running", pid=1, code=study_plan.arms[0].code)
    assert entry.slot.result() is None
    (entry,) = study.run_trials(study_plan)
    second = entry.slot.result()
    assert second is not None
    assert second["passes"] == 2
    for name, samples in first["samples"].items():
        assert second["samples"][name][:1] == samples
        assert len(second["samples"][name]) == 2

    def timeless(result):
        return [row for row in result["results"] if "/time" not in row["metric"]]

    assert timeless(second) == timeless(first)
    assert first["notes"] == []
    trial.compute_stage(again, lambda _: None)  # another study has computed this pass meanwhile
    assert entry.slot.result() == second


def test_what_was_told_of_a_trial_outlasts_further_passes(plan):
    study_plan = plan(*FLASH, "n_seeds=1", "arm=tiled", "options.rounds=1")
    (entry,) = study.run_trials(study_plan)
    first = entry.slot.result()
    assert first is not None
    entry.slot.write_first_stage(first | {"notes": ["spiked"]})
    entry.slot.write_status("untimed", code=study_plan.arms[0].code)
    for passes in (1, 2):
        again = replace(make_job(study_plan, entry, Stage.timing), passes=passes)
        trial.compute_stage(again, lambda _: None)
        result = entry.slot.result()
        assert result is not None
        assert (result["passes"], result["notes"]) == (passes + 1, ["spiked"])
        assert entry.slot.status()["message"] == "spiked"


@pytest.mark.parametrize(
    ("change", "words"),
    [({"passes": 0}, "passes=0"), ({"steady": -0.1}, "steady=-0.1"), ({"minutes": -1}, "minutes")],
)
def test_limits_that_make_no_sense_are_named(change, words):
    good = {"passes": 5, "steady": 0.02, "minutes": 3.0}
    Timing(**good)
    with pytest.raises(ValueError, match=words):
        Timing(**good | change)
