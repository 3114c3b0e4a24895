"""Whole studies in processes: what is computed, reused, lost and said; on tiny trials of moe."""

from pathlib import Path

import pandas as pd
import pytest
from tests_tiny import TINY

from runner import study
from runner.plan import arguments
from runner.report import gather
from runner.store import read_json


def states(entries: list[study.Entry]) -> dict[tuple[str, int], str]:
    return {(e.arm.name, e.seed): e.slot.status()["state"] for e in entries}


def numbers(entries: list[study.Entry]) -> pd.DataFrame:
    """All final values but times, in a fixed order."""
    results = gather.contents(gather.trial_table(entries))[0]
    timeless = results[~results.metric.str.startswith("time/")]
    return timeless.sort_values(["arm", "seed", "metric"]).reset_index(drop=True)


def stamps(entries: list[study.Entry]) -> dict[Path, int]:
    """When each file of each trial was last written."""
    return {
        path: path.stat().st_mtime_ns
        for entry in entries
        for path in entry.slot.folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def test_two_commands_that_start_together_share_the_folder_of_an_arm(plan):
    first, second = plan(*TINY), plan(*TINY, '+arms.other=["ffn=dense"]', "arm=[other,moe_top2]")
    mine = study.enter(first)  # both have planned before either computes
    theirs = study.enter(second)
    assert {e.slot.folder for e in mine} == {e.slot.folder for e in theirs}
    assert {e.arm.name for e in mine} != {e.arm.name for e in theirs}


def test_done_trials_are_reused_and_more_seeds_or_arms_touch_nothing_else(plan):
    first = study.run(plan(*TINY))
    assert set(states(first).values()) == {"done"}
    before = stamps(first)

    again = study.run(plan(*TINY))
    assert all(entry.reused for entry in again)
    more = study.run(plan(*TINY, "n_seeds=3"))
    assert [entry.reused for entry in more] == [True] * 4 + [False] * 2
    added = study.run(plan(*TINY, '+arms.fine=["ffn=moe","ffn.n_experts=4"]'))
    assert {entry.arm.name for entry in added if not entry.reused} == {"fine"}
    renamed = study.run(plan(*TINY, "arm=same", '+arms.same=["ffn=moe","ffn.balance=aux"]'))
    assert all(entry.reused for entry in renamed)
    assert stamps(first) == before


def test_numbers_do_not_depend_on_the_number_of_workers(plan, tmp_path: Path):
    one = study.run(plan(*TINY, "workers=1"))
    expected = numbers(one)
    (tmp_path / "outputs").rename(tmp_path / "other")
    two = study.run(plan(*TINY, "workers=2"))
    assert not any(entry.reused for entry in two)
    pd.testing.assert_frame_equal(numbers(two), expected, check_exact=True)


def test_faults_cost_only_their_own_trial(plan, run, capsys):
    with pytest.raises(study.StudyError, match="2 of 4 trials failed"):
        run(*TINY, "plugins=[faulty]")
    entries = study.survey(plan(*TINY, "plugins=[faulty]"))
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
    mended = study.run(plan(*TINY, "plugins=[faulty]"))
    assert [entry.reused for entry in mended] == [False, False, True, True]
    assert set(states(mended).values()) == {"done"}


def test_results_of_other_code_are_never_reused_in_silence(plan, monkeypatch):
    study.run(plan(*TINY))
    monkeypatch.setattr("runner.provenance.code_hash", lambda *_: "changed")
    stale = plan(*TINY)
    assert not any(entry.reused for entry in study.survey(stale))
    assert any("computed by other code" in note for note in stale.notes)
    accepted = plan(*TINY, "reuse=accept")
    assert all(entry.reused for entry in study.survey(accepted))
    assert any("kept" in note for note in accepted.notes)


def test_arms_of_a_seed_share_data_order_evaluation_and_starting_weights(plan):
    entries = study.run(plan(*TINY, '+arms.again=["ffn=dense","training.warmup_steps=1"]'))
    results = {(e.arm.name, e.seed): e.slot for e in entries}
    curves = {
        key: pd.read_csv(slot.folder / "metrics.csv").set_index(["step", "metric"]).value
        for key, slot in results.items()
    }
    # The arms differ in a rate only, so that everything before the first step is equal to the bit.
    assert curves["dense", 0][0, "val/loss"] == curves["again", 0][0, "val/loss"]
    assert curves["dense", 0][0, "val/loss"] != curves["dense", 1][0, "val/loss"]
    assert curves["dense", 0][6, "val/loss"] != curves["again", 0][6, "val/loss"]


def test_a_record_says_where_it_comes_from(plan):
    entry = study.run(plan(*TINY, "arm=dense", "n_seeds=1"))[0]
    result = read_json(entry.slot.folder / "result.json")
    assert result is not None
    assert {"arm", "seed", "code", "data", "device", "machine", "seconds"} <= set(result)
    arm = read_json(entry.slot.folder.parent / "arm.json")
    assert arm is not None
    assert arm["config"]["ffn"] == entry.arm.config.tree()["ffn"]
    assert arm["config"]["device"]["name"] == "cpu"  # what auto means here
    assert arm["data"] == entry.arm.data


def test_arguments_reach_the_plan_unchanged_by_plugins(plan):
    assert arguments.named_plugins(["plugins=[a.b,c]", "n_seeds=3"]) == ["a.b", "c"]
    assert plan(*TINY, "plugins=[faulty]").study.plugins == ["faulty"]
