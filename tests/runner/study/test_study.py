"""Whole studies in processes, on tiny trials of moe: computed, reused and lost trials, messages."""

import sys
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock

from runner.config import StudyError
from runner.plan import arguments
from runner.plan.report_spec import read_report_spec
from runner.records.job import Stage
from runner.records.store import read_json
from runner.report import collection
from runner.study import pool
from runner.study import run as study
from runner.study.entries import Entry, list_trials, make_job, prepare_trials, raise_if_any_failed
from runner.study.outcomes import finalize_status
from runner.trial import science
from tests.support import outcomes
from tests.support.finished_study import with_code_hash
from tests.support.tiny import TINY


def states(entries: list[Entry]) -> dict[tuple[str, int], str]:
    return {(e.arm.name, e.seed): e.slot.status()["state"] for e in entries}


def numbers(entries: list[Entry]) -> pd.DataFrame:
    """Return all final values except times, in a fixed order."""
    results = collection.final_values(collection.snapshot_trials(entries))
    timeless = results[~results.metric.str.startswith("time/")]
    return timeless.sort_values(["arm", "seed", "metric"]).reset_index(drop=True)


def stamps(entries: list[Entry]) -> dict[Path, int]:
    """Return when each file of each trial was last written."""
    return {
        path: path.stat().st_mtime_ns
        for entry in entries
        for path in entry.slot.folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def test_two_commands_that_start_together_share_the_folder_of_an_arm(plan):
    first, second = plan(*TINY), plan(*TINY, '+arms.other=["ffn=dense"]', "arm=[other,moe_top2]")
    mine = prepare_trials(first)  # both have planned before either computes
    theirs = prepare_trials(second)
    assert {e.slot.folder for e in mine} == {e.slot.folder for e in theirs}
    assert {e.arm.name for e in mine} != {e.arm.name for e in theirs}


@pytest.mark.slow
def test_done_trials_are_reused_and_more_seeds_or_arms_touch_nothing_else(plan):
    first = study.run_trials(plan(*TINY))
    assert set(states(first).values()) == {"done"}
    before = stamps(first)

    again = study.run_trials(plan(*TINY))
    assert all(entry.reused for entry in again)
    more = study.run_trials(plan(*TINY, "n_seeds=3"))
    assert [entry.reused for entry in more] == [True] * 4 + [False] * 2
    added = study.run_trials(plan(*TINY, '+arms.fine=["ffn=moe","ffn.n_experts=4"]'))
    assert {entry.arm.name for entry in added if not entry.reused} == {"fine"}
    renamed = study.run_trials(plan(*TINY, "arm=same", '+arms.same=["ffn=moe","ffn.balance=aux"]'))
    assert all(entry.reused for entry in renamed)
    assert stamps(first) == before


@pytest.mark.slow
def test_numbers_do_not_depend_on_the_number_of_workers(plan, tmp_path: Path):
    one = study.run_trials(plan(*TINY, "workers=1"))
    expected = numbers(one)
    (tmp_path / "outputs").rename(tmp_path / "other")
    two = study.run_trials(plan(*TINY, "workers=2"))
    assert not any(entry.reused for entry in two)
    pd.testing.assert_frame_equal(numbers(two), expected, check_exact=True)


@pytest.fixture
def faulty_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the plug-in `faulty` replace stages in this test only: planning imports it."""
    monkeypatch.setattr(science, "stage", science.stage)
    monkeypatch.delitem(sys.modules, "faulty", raising=False)


@pytest.mark.usefixtures("faulty_stages")
def test_faults_cost_only_their_own_trial(plan, run, capsys):
    with pytest.raises(StudyError, match="2 of 4 trials failed"):
        run(*TINY, "~figures", "plugins=[faulty]")
    entries = list_trials(plan(*TINY, "plugins=[faulty]"))
    assert states(entries) == {
        ("dense", 0): "failed",
        ("moe_top2", 0): "killed",
        ("dense", 1): "done",
        ("moe_top2", 1): "done",
    }
    failed, killed = entries[0].slot, entries[1].slot
    assert "a planted fault" in failed.status()["traceback"]
    assert "a planted fault" in (failed.folder / "log.txt").read_text()
    assert "SIGKILL" in killed.status()["message"]
    assert "a planted fault" in capsys.readouterr().out

    (killed.folder.parents[3] / "mended").touch()
    mended = study.run_trials(plan(*TINY, "plugins=[faulty]"))
    assert [entry.reused for entry in mended] == [False, False, True, True]
    assert set(states(mended).values()) == {"done"}


@pytest.mark.slow
def test_results_of_other_code_are_never_reused_in_silence(plan, monkeypatch):
    study.run_trials(plan(*TINY))
    monkeypatch.setattr("runner.plan.code_hash.hash_modules", lambda *_: "changed")
    stale = plan(*TINY)
    assert not any(entry.reused for entry in list_trials(stale))
    assert any("computed by other code" in note for note in stale.notes)
    accepted = plan(*TINY, "reuse=accept")
    assert all(entry.reused for entry in list_trials(accepted))
    assert any("kept" in note for note in accepted.notes)


FLASH = ("experiment=flash_attention", "arm=tiled", "scale=smoke", "n_seeds=1")
FLASH += ("options.lengths=[16]", "options.length=16", "options.rounds=1")


def dies_before_its_mark(monkeypatch: pytest.MonkeyPatch, exitcode: int) -> None:
    """Make the processes of a study exit before they write a status or compute."""

    def run_jobs(jobs, workers, on_event) -> None:  # noqa: ARG001
        for job in jobs:
            on_event(job, {"state": "started", "pid": 1})
            on_event(job, {"state": "ended", "exitcode": exitcode, "pid": 1})

    monkeypatch.setattr("runner.study.pool.run_jobs", run_jobs)


@pytest.mark.some(1)
@pytest.mark.parametrize(
    ("exitcode", "state", "how"),
    [
        (-9, "killed", "SIGKILL"),
        pytest.param(1, "failed", "exit code 1", marks=pytest.mark.slow),
    ],
)
def test_a_process_that_dies_before_its_mark_leaves_no_old_result(
    plan, run, monkeypatch, exitcode: int, state: str, how: str
):
    one = (*TINY, "arm=dense", "n_seeds=1")
    whole = numbers(study.run_trials(plan(*one)))
    with monkeypatch.context() as patch:
        patch.setattr("runner.plan.code_hash.hash_modules", lambda *_: "changed")
        dies_before_its_mark(patch, exitcode)
        with pytest.raises(StudyError, match=f"1 of 1 trials failed.*{how}"):
            run(*one)
        (entry,) = list_trials(plan(*one))
        assert entry.slot.status()["state"] == state
        assert entry.slot.result() is None
    # Other code does not resume from the checkpoint of the old result.
    monkeypatch.setattr("runner.plan.code_hash.hash_modules", lambda *_: "changed")
    again = study.run_trials(plan(*one))
    result = again[0].slot.result()
    assert result is not None
    assert result["from_step"] == 0
    pd.testing.assert_frame_equal(numbers(again), whole, check_exact=True)


def test_what_another_process_has_computed_meanwhile_is_done(plan):
    first = plan(*TINY, "arm=dense", "n_seeds=1")
    (entry,) = list_trials(first)
    study.run_trials(first)
    job = make_job(first, entry, Stage.run)
    assert finalize_status(job, -9, 1)["state"] == "done"
    raise_if_any_failed(first, [entry])
    other = with_code_hash(first, "other")
    with pytest.raises(StudyError):
        raise_if_any_failed(other, list_trials(other))
    accepted = with_code_hash(plan(*TINY, "arm=dense", "n_seeds=1", "reuse=accept"), "other")
    raise_if_any_failed(accepted, list_trials(accepted))


def test_the_status_of_a_trial_that_another_process_computes_is_left_to_it(plan):
    study_plan = plan(*TINY, "arm=dense", "n_seeds=1")
    (entry,) = prepare_trials(study_plan)
    entry.slot.write_status("running", pid=2, code=study_plan.arms[0].code)
    job = make_job(study_plan, entry, Stage.run)
    with FileLock(entry.slot.folder / "lock"):
        assert finalize_status(job, -9, 1)["state"] == "killed"
    assert entry.slot.status()["state"] == "running"
    finalize_status(job, -9, 1)  # a process that died long ago
    assert entry.slot.status()["state"] == "killed"


@pytest.mark.slow
def test_a_timing_that_dies_before_its_mark_has_failed_until_it_is_computed(plan, monkeypatch):
    honest = pool.run_jobs

    def run_jobs(jobs, workers, on_event) -> None:
        honest(jobs, workers, on_event)
        dies_before_its_mark(monkeypatch, 1)  # the next jobs

    monkeypatch.setattr("runner.study.pool.run_jobs", run_jobs)
    study_plan = plan(*FLASH)
    entries = study.run_trials(study_plan)
    assert states(entries) == {("tiled", 0): "failed"}
    with pytest.raises(StudyError, match="exit code 1"):
        raise_if_any_failed(study_plan, entries)
    monkeypatch.setattr("runner.study.pool.run_jobs", honest)
    mended = study.run_trials(plan(*FLASH))
    assert states(mended) == {("tiled", 0): "done"}
    # The event file has the second stage's headlines for the HParams table, next to the curves.
    result = mended[0].slot.result()
    assert result is not None
    reported = read_report_spec(study_plan.study).metrics
    curves = pd.read_csv(mended[0].slot.folder / "metrics.csv")
    recorded = {row["metric"] for row in result["results"]} - set(curves.metric)
    finals = {f"~ HParams/{metric}" for metric in reported if metric in recorded}
    tags = {tag for tag, _, _ in outcomes.events(mended[0].slot.folder)}
    assert {"~ HParams/flash/time_backward", "~ HParams/flash/saved_bytes"} <= finals
    assert {tag for tag in tags if tag.startswith("~")} == finals
    assert tags - finals == set(curves.metric) != set()


def test_arms_of_a_seed_share_data_order_evaluation_and_starting_weights(plan):
    entries = study.run_trials(plan(*TINY, '+arms.again=["ffn=dense","training.warmup_steps=1"]'))
    results = {(e.arm.name, e.seed): e.slot for e in entries}
    curves = {
        key: pd.read_csv(slot.folder / "metrics.csv").set_index(["step", "metric"]).value
        for key, slot in results.items()
    }
    # The arms differ in a rate only, so that everything before the first step is equal bit for bit.
    assert curves["dense", 0][0, "val/loss"] == curves["again", 0][0, "val/loss"]
    assert curves["dense", 0][0, "val/loss"] != curves["dense", 1][0, "val/loss"]
    assert curves["dense", 0][6, "val/loss"] != curves["again", 0][6, "val/loss"]


def test_a_record_says_where_it_comes_from(plan):
    entry = study.run_trials(plan(*TINY, "arm=dense", "n_seeds=1"))[0]
    result = read_json(entry.slot.folder / "result.json")
    assert result is not None
    assert {"arm", "seed", "code", "data", "device", "machine", "seconds"} <= set(result)
    arm = read_json(entry.slot.folder.parent / "arm.json")
    assert arm is not None
    assert arm["config"]["ffn"] == entry.arm.config.signature_tree()["ffn"]
    assert arm["config"]["device"]["name"] == "cpu"  # the device of `auto` in tests
    assert arm["data"] == entry.arm.data


@pytest.mark.usefixtures("faulty_stages")
def test_arguments_reach_the_plan_unchanged_by_plugins(plan):
    assert arguments.read_plugin_names(["plugins=[a.b,c]", "n_seeds=3"]) == ["a.b", "c"]
    assert plan(*TINY, "plugins=[faulty]").study.plugins == ["faulty"]
