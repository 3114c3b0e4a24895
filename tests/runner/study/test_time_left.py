"""The time left: from earlier trials at first, then from the trials of this run."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.records.arm_folders import signature, write_signature
from runner.records.job import Stage
from runner.records.store import Store
from runner.study import forecast, opening, run
from runner.study.entries import prepare_trials
from runner.study.opening import describe_load, describe_work
from runner.study.time_left import Piece, TimeLeft, estimate_time_left
from runner.wording.durations import format_estimate
from tests.support.tiny import TINY


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def left_of(weights: dict[str, float], *, workers: int, in_seconds: bool) -> tuple[TimeLeft, Clock]:
    clock = Clock()
    pieces = {(name, Stage.run): Piece(Stage.run, weight) for name, weight in weights.items()}
    return TimeLeft(pieces, workers, in_seconds, clock), clock


def test_earlier_trials_count_until_the_first_trial_has_ended():
    left, clock = left_of(dict.fromkeys("abcd", 10.0), workers=2, in_seconds=True)
    assert left.seconds() == 20.0
    left.begin("a", Stage.run)
    left.begin("b", Stage.run)
    clock.now = 5.0
    assert left.seconds() == 15.0
    clock.now = 30.0  # three times as long as expected
    left.end("a", Stage.run, succeeded=True)
    left.advance("b", Stage.run, 0.5)
    assert left.seconds() == pytest.approx((15 + 30 + 30) / 2)


def test_without_earlier_trials_the_first_one_tells_the_speed():
    left, clock = left_of({"small": 1e9, "large": 3e9}, workers=1, in_seconds=False)
    assert left.seconds() is None
    left.begin("small", Stage.run)
    clock.now = 4.0
    left.end("small", Stage.run, succeeded=True)
    assert left.seconds() == pytest.approx(12.0)


def test_a_trial_that_resumes_or_fails_says_nothing_wrong_about_the_speed():
    left, clock = left_of(dict.fromkeys("abc", 10.0), workers=1, in_seconds=True)
    left.begin("a", Stage.run)
    left.advance("a", Stage.run, 0.8, 0.8)  # from a checkpoint
    left.advance("a", Stage.run, 0.1)  # its measurements, which start at 0
    clock.now = 2.0
    left.end("a", Stage.run, succeeded=True)
    assert left.seconds() == pytest.approx(20.0)
    left.begin("b", Stage.run)
    left.end("b", Stage.run, succeeded=False)
    assert left.seconds() == pytest.approx(10.0)
    left.end("nobody", Stage.run, succeeded=True)
    left.begin("c", Stage.run)
    left.advance("c", Stage.run, 1.0, 1.0)  # only its evaluation was left
    clock.now = 3.0
    left.end("c", Stage.run, succeeded=True)
    assert left.seconds() is None


@pytest.mark.parametrize("shares", [(1.0,), (0.25, 0.5, 0.75, 1.0), (0.5,), ()])
def test_a_trial_with_few_reports_says_its_speed(shares: tuple[float, ...]):
    left, clock = left_of(dict.fromkeys("ab", 10.0), workers=1, in_seconds=True)
    left.begin("a", Stage.run)
    for share in shares:
        clock.now = 30 * share
        left.advance("a", Stage.run, share)
    clock.now = 30.0
    left.end("a", Stage.run, succeeded=True)
    assert left.seconds() == pytest.approx(30.0)


def test_timings_run_one_at_a_time():
    clock = Clock()
    pieces = {
        (name, stage): Piece(stage, 10.0 if stage is Stage.run else 2.0)
        for name in "ab"
        for stage in Stage
    }
    left = TimeLeft(pieces, 2, in_seconds=True, clock=clock)
    assert left.seconds() == 10.0 + 2 * 2.0
    unknown = TimeLeft(dict(pieces), 2, in_seconds=False, clock=clock)
    assert unknown.seconds() is None
    for name in "ab":
        unknown.begin(name, Stage.run)
    clock.now = 5.0
    for name in "ab":
        unknown.end(name, Stage.run, succeeded=True)
    assert unknown.unknown_timings()
    assert unknown.seconds() is None
    unknown.begin("a", Stage.timing)
    clock.now = 8.0
    unknown.end("a", Stage.timing, succeeded=True)
    assert not unknown.unknown_timings()
    assert unknown.seconds() == pytest.approx(3.0)


def write_trial(store: Store, name: str, seed: int, seconds: float, **more: object) -> None:
    """Write the result of a finished trial as far as a forecast reads it."""
    mark = signature(name)
    slot = store.slot(name, mark, seed)
    slot.folder.mkdir(parents=True)
    write_signature(slot.arm_folder, mark)
    (slot.folder / "result.json").write_text(json.dumps({"seconds": seconds, **more}))


def test_a_forecast_reads_a_sample_of_a_large_store(tmp_path: Path, monkeypatch):
    store = Store(tmp_path, "moe")
    for number in range(100):
        for seed in range(9):
            write_trial(store, f"arm{number}", seed, 1.0 + seed)
    reads: list[Path] = []
    real = forecast.read_json
    monkeypatch.setattr(forecast, "read_json", lambda path: (reads.append(path), real(path))[1])
    own: Any = [SimpleNamespace(signature=signature("arm7"))]
    trials = forecast.load_past_trials(tmp_path, "moe", own)
    assert len(reads) == forecast.N_OWN + forecast.N_OTHER
    assert [t.seconds for t in trials if t.signature == signature("arm7")] == [9.0, 8.0, 7.0, 6.0]
    everything: Any = [SimpleNamespace(signature=signature(f"arm{i}")) for i in range(100)]
    assert len(forecast.load_past_trials(tmp_path, "moe", everything)) == forecast.MAX_READ


def test_a_timing_is_told_from_the_rest_of_a_trial(tmp_path: Path):
    store = Store(tmp_path, "moe")
    write_trial(store, "timed", 0, 10.0, run_seconds=4.0)
    write_trial(store, "other", 0, 10.0)
    trials = forecast.load_past_trials(tmp_path, "moe")
    assert sorted(trial.timing_seconds for trial in trials) == [0.0, 6.0]
    assert forecast.timing_share(trials) == pytest.approx(0.6)
    assert forecast.timing_share([]) is None


def test_much_shorter_trials_do_not_tell_the_time(plan):
    (arm,) = plan(*TINY, "arm=dense").arms
    work = forecast.planned_flops(arm)
    assert work > 0
    similar = forecast.PastTrial("x", 3.0, 1, work / 2)
    much_shorter = forecast.PastTrial("x", 3.0, 1, work / 100)
    assert forecast.predict_seconds(arm, [similar]) == pytest.approx(6.0)
    assert forecast.predict_seconds(arm, [much_shorter]) is None


def test_the_first_line_says_what_is_computed_and_how_long_it_takes(plan, tmp_path: Path):
    study_plan = plan("experiment=moe", "task=waves", "n_seeds=3", "arm=[dense,moe_top2]")
    study_plan.notes.clear()
    entries = prepare_trials(study_plan)
    time_left = estimate_time_left(study_plan, entries, 2)
    assert describe_work(study_plan, 6, 6, time_left) == (
        "2 arms x 3 seeds = 6 trials: 0 reused, 6 to compute, "
        "time unknown here (the whole preset: about 4 min on two idle cores)"
    )
    store = Store(tmp_path / "outputs", "moe")
    for arm in study_plan.arms:
        slot = store.slot(arm.name, arm.signature, 9)
        slot.folder.mkdir()
        (slot.folder / "result.json").write_text('{"seconds": 20.0}')
    time_left = estimate_time_left(study_plan, entries, 2)
    assert describe_work(study_plan, 6, 5, time_left) == (
        "2 arms x 3 seeds = 6 trials: 1 reused, 5 to compute, about 60 s (from earlier trials here)"
    )
    assert describe_work(study_plan, 6, 0, None).endswith(
        "= 6 trials: all reused, only the report is written"
    )


def test_the_presets_figure_is_that_of_the_preset_as_it_stands(plan):
    whole = plan("experiment=moe", "task=waves")
    command = "python -m runner experiment=moe"
    for words, expected in (
        ("", "about 4 min on two idle cores (the preset's figure)"),
        (" n_seeds=1", "time unknown here (the whole preset: about 4 min on two idle cores)"),
        (" outputs=x", "about 4 min on two idle cores (the preset's figure)"),
        (" ~arms.dense", "time unknown here (the whole preset: about 4 min on two idle cores)"),
        (" '~n_seeds'", "time unknown here (the whole preset: about 4 min on two idle cores)"),
        (" ++arms.x=[]", "time unknown here (the whole preset: about 4 min on two idle cores)"),
        (" ~hydra.launcher", "about 4 min on two idle cores (the preset's figure)"),
    ):
        typed = SimpleNamespace(study=whole.study, typed_settings=(), command=command + words)
        assert opening.describe_duration(typed, None, is_whole=True) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (0.4, ""),
        (2.9, ""),
        (8.12, "load 8.1 on 2 cores: times will be longer, and timings noisier"),
    ],
)
def test_a_loaded_machine_is_said(monkeypatch: pytest.MonkeyPatch, load: float, said: str):
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr("runner.device.cores", lambda: 2)
    assert describe_load() == said


@pytest.mark.parametrize(("tuned", "title", "said"), [(0, "", 1), (1, "tuning", 1), (1, "", 0)])
def test_the_load_is_said_before_the_first_trials_of_a_command(
    plan, monkeypatch: pytest.MonkeyPatch, capsys, tuned: int, title: str, said: int
):
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 0.0, 0.0))
    monkeypatch.setattr("runner.study.pool.run_jobs", lambda *_: None)
    words = ("task=waves", "tune=lr") if tuned else ()
    run.run_trials(plan(*TINY, "arm=dense", "n_seeds=1", *words), title)
    assert capsys.readouterr().out.count("load 99.0 on") == said


def test_a_system_without_a_load_says_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr("os.getloadavg")
    assert describe_load() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "about 10 s"), (31.0, "about 40 s"), (100.0, "about 2 min"), (9000.0, "about 2.5 h")],
)
def test_an_estimate_is_rounded(seconds: float, text: str):
    assert format_estimate(seconds) == text
