"""Timing in passes: how many, by the noise alone; samples of all passes count; kills."""

import random
from dataclasses import replace
from statistics import median

import pandas as pd
import pytest

from experiments import flash_attention
from runner import study, trial
from runner.config import Timing
from runner.job import Job, Stage
from runner.passes import noise
from runner.store import UNTIMED

ARMS = {"fast": 0.1, "slow": 10.0}
FLASH = (
    *("experiment=flash_attention", "scale=smoke", "arm=[tiled,fused]", "n_seeds=3"),
    *("options.lengths=[16]", "options.length=16", "model.d_model=32"),
)


def timed(spread, arms=ARMS, n_seeds=8, seed=0):
    """An arm and the samples of each trial; a trial is slow or quick as a whole."""
    draw = random.Random(seed)
    for arm, seconds in arms.items():
        for _ in range(n_seeds):
            level = seconds * (1 + draw.uniform(-spread, spread))
            yield arm, {"forward": [level] * 3, "backward": [3 * seconds]}


def test_noise_is_the_standard_error_of_an_arms_mean():
    alone = [("a", {"x": [0.9, 9.0, 0.9]}), ("a", {"x": [1.0]}), ("a", {"x": [1.1]})]
    assert noise(alone) == (pytest.approx(0.1 / 3**0.5), "x")
    silent = [("b", {"x": [2.0]})] * 3  # over two arms the mean square
    assert noise([*alone, *silent]) == (pytest.approx(0.1 / 3**0.5 / 2**0.5), "x")


def test_noise_does_not_know_which_arm_is_quicker():
    there = noise(timed(0.1))
    assert there == (pytest.approx(0.02, abs=0.01), "forward")
    other = noise(timed(0.1, {"fast": 7.0, "slow": 0.7}))
    assert other == (pytest.approx(there[0]), "forward")


def test_two_seeds_or_none_tell_no_noise():
    assert noise(timed(0.5, n_seeds=2)) == (0.0, "")
    assert noise([]) == (0.0, "")
    assert noise([("untimed", {})] * 5) == (0.0, "")


@pytest.fixture
def machine(monkeypatch):
    """Jobs that compute nothing; `machine.spread` says how noisy the clock is."""

    class Machine:
        spread, seconds, clock = 0.0, 10.0, 0.0

        def __init__(self):
            self.orders: list[list[Job]] = []

        def run_jobs(self, jobs, workers, on_event):
            self.orders.append(list(jobs))
            if jobs[0].stage is Stage.timing:
                self.clock += self.seconds
                assert workers == 1
            for job in jobs:
                on_event(job, {"state": "started", "pid": 1})
                job.slot.folder.mkdir(parents=True, exist_ok=True)
                record = {"code": job.code, "results": [], "passes": job.passes + 1}
                level = 1 + random.Random(f"{job.arm} {job.seed}").uniform(-1, 1) * self.spread
                if job.stage is Stage.run:
                    job.slot.leave(record)
                    job.slot.mark(UNTIMED)
                else:
                    job.slot.record(record | {"samples": {"x": [level]}})
                    job.slot.mark("done")
                on_event(job, {"state": "ended", "exitcode": 0, "pid": 1})

    made = Machine()
    monkeypatch.setattr("runner.pool.run_jobs", made.run_jobs)
    monkeypatch.setattr("runner.study.time.monotonic", lambda: made.clock)
    return made


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
    made = plan(*FLASH, "timing.passes=4", "timing.minutes=1")
    entries = study.run(made)
    assert {(entry.slot.result() or {})["passes"] for entry in entries} == {passes}
    timings = [jobs for jobs in machine.orders if jobs[0].stage is Stage.timing]
    assert [{job.passes for job in jobs} for jobs in timings] == [{n} for n in range(passes)]
    orders = {tuple((job.seed, job.arm) for job in jobs) for jobs in timings}
    assert len(orders) == 1 if passes == 1 else len(orders) > 1  # in another random order
    assert all([job.seed for job in jobs] == sorted(job.seed for job in jobs) for jobs in timings)
    told = [note for note in made.notes if "standard error" in note]
    assert len(told) == bool(limit)
    assert all(limit in note for note in told)


def test_a_further_pass_leaves_finished_trials_alone(plan, machine, capsys):
    study.run(plan(*FLASH))
    machine.spread = 0.3
    before = len(machine.orders)
    entries = study.run(plan(*FLASH, "n_seeds=6", "timing.passes=2"))
    again = [job.seed for jobs in machine.orders[before:] for job in jobs if job.passes]
    assert set(again) == {3, 4, 5}
    assert {(entry.slot.result() or {})["passes"] for entry in entries if entry.reused} == {1}
    told = capsys.readouterr().out
    assert "[12/12]" in told
    assert "[13/12]" not in told
    assert "timed again" in told


def test_the_samples_of_all_passes_count(plan):
    made = plan(
        *FLASH, "timing.passes=2", "timing.steady=0", "timing.minutes=9", "options.rounds=2"
    )
    entries = study.run(made)
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
    assert all(entry.reused for entry in study.run(made))


def test_a_pass_that_is_killed_costs_only_itself(plan, monkeypatch):
    made = plan(*FLASH, "n_seeds=1", "arm=tiled", "options.rounds=1")
    (entry,) = study.run(made)
    first = entry.slot.result()
    assert first is not None
    again = replace(study.job(made, entry, Stage.timing), passes=1)

    def dies(_: trial.Trial) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flash_attention, "timing", dies)
        with pytest.raises(KeyboardInterrupt):
            trial.compute(again, lambda _: None)
    assert entry.slot.result() is None
    (entry,) = study.run(made)
    second = entry.slot.result()
    assert second is not None
    assert second["passes"] == 2
    for name, samples in first["samples"].items():
        assert second["samples"][name][:1] == samples
        assert len(second["samples"][name]) == 2

    def timeless(result):
        return [row for row in result["results"] if "/time" not in row["metric"]]

    assert timeless(second) == timeless(first)
    trial.compute(again, lambda _: None)  # another study has done this pass meanwhile
    assert entry.slot.result() == second


@pytest.mark.parametrize(
    ("change", "words"),
    [({"passes": 0}, "passes=0"), ({"steady": -0.1}, "steady=-0.1"), ({"minutes": -1}, "minutes")],
)
def test_limits_that_make_no_sense_are_named(change, words):
    good = {"passes": 5, "steady": 0.02, "minutes": 3.0}
    Timing(**good)
    with pytest.raises(ValueError, match=words):
        Timing(**good | change)
