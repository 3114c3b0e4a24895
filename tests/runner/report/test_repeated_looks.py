"""Looking again counts: other seeds for the same arms are another look, the same ones are not."""

from pathlib import Path

import pytest

from runner.commands.redraw import redraw
from runner.records import ledger
from runner.records.arm_folders import write_signature
from runner.records.store import Store, read_json, signature
from runner.report import run_folder
from runner.report.repeated_looks import (
    RepeatedLooks,
    ReportedComparison,
    count_looks,
    find_other_finished_seeds,
    format_seed_ranges,
)
from tests.runner.claims.test_registration import QUICK
from tests.support.tiny import TINY

ARMS = {"dense": "d", "moe": "m"}


def after(*past: ReportedComparison, left_out: tuple[int, ...] = ()) -> RepeatedLooks:
    """The looks of the last of some reports."""
    lines = [one.ledger_line(time="t", scale="quick") for one in past[:-1]]
    return count_looks(past[-1], lines, left_out)


def over(
    *seeds: int, arms: dict[str, str] | None = None, baseline: str = "dense"
) -> ReportedComparison:
    return ReportedComparison(arms or ARMS, [baseline], seeds)


def first(n: int, start: int = 0, **more) -> ReportedComparison:
    return over(*range(start, start + n), **more)


@pytest.mark.parametrize(
    ("past", "words"),
    [
        ([first(8)], ""),
        ([first(8), first(8)], ""),
        ([first(8), first(9)], "second look (8, 9 seeds)"),
        ([first(8), first(9), first(10)], "third look (8, 9, 10 seeds)"),
        ([first(8), first(9), first(9), first(10)], "third look (8, 9, 10 seeds)"),
        ([first(10), first(8)], "second look (10, 8 seeds)"),
        ([first(8), first(9), first(8)], "second look (8, 9 seeds)"),
        ([first(8), first(8, 8)], "second look (seeds 0-7, 8-15)"),
        ([first(1), first(1, 3)], "second look (seeds 0, 3)"),
        ([first(8, arms={"dense": "d", "moe": "x"}), first(9)], ""),
        ([first(8, arms={"dense": "x", "moe": "m"}), first(9)], ""),
        ([first(8, arms={"base": "d", "other": "m"}, baseline="base"), first(9)], "second look"),
        ([first(n) for n in range(1, 12)], "11th look"),
    ],
)
def test_looks_are_counted_over_the_same_arms(past: list[ReportedComparison], words: str):
    found = after(*past)
    assert found.words.startswith(words)
    assert bool(found.words) == bool(words)
    assert found.number == len(found.sets)
    assert sorted(past[-1].seeds) in found.sets


def test_the_arm_that_was_looked_at_most_often_counts():
    both = {"dense": "d", "moe": "m", "fine": "f"}
    assert after(first(8), first(9), first(10, arms=both)).number == 3
    assert (
        after(first(8, arms=both), first(9), first(10, arms={"dense": "d", "x": "f"})).number == 2
    )


def test_a_copy_is_no_arm_that_could_be_better():
    copy = {"dense": "d", "copy": "d+1000"}
    assert after(first(8, arms=copy), first(9, arms=copy)).number == 1


def test_damaged_lines_are_no_looks():
    odd = [
        {},
        {"seeds": 3, "arms": ARMS},
        {"seeds": ["a"], "arms": ARMS},
        {"seeds": [0], "arms": 1},
    ]
    odd.append({"seeds": [0], "arms": {"dense": ["d"], "moe": {}}})
    assert count_looks(first(8), odd, []).number == 1


def test_seeds_in_few_words():
    assert format_seed_ranges([]) == ""
    assert format_seed_ranges([3]) == "3"
    assert format_seed_ranges([7, 1, 0, 2, 9, 9]) == "0-2, 7, 9"
    left = RepeatedLooks(1, [[0]], [8, 9]).left_out_words
    assert left == "seeds 8-9 were computed for these arms and are left out of this run"
    assert RepeatedLooks(1, [[0]], [8]).left_out_words.startswith("seed 8 was")
    assert RepeatedLooks().left_out_words == RepeatedLooks().words == ""


def test_seeds_beside_are_those_that_were_ever_finished(tmp_path: Path):
    store = Store(tmp_path, "moe")
    dense, other, third = (signature(name) for name in ("dense", "other", "third"))
    for seed in (0, 1, 8, 50000):
        slot = store.slot("dense", dense, seed)
        slot.write_result({"code": "c", "results": []})
    store.slot("dense", dense, 9).write_status("running")
    store.slot("other", other, 10).write_result({"code": "c", "results": []})
    for known, folder in store.arms.items():
        write_signature(folder, known)
    found = find_other_finished_seeds(Store(tmp_path, "moe"), [dense, third], [0])
    assert found == [1, 8, 50000]


@pytest.mark.slow
def test_runs_over_more_or_other_seeds_are_looks(run, tmp_path: Path):
    outputs = tmp_path / "outputs" / "moe"

    def found(*more: str) -> RepeatedLooks:
        run(*QUICK, *more)
        summary = read_json(max((outputs / "runs").iterdir()) / run_folder.SUMMARY_FILE)
        assert summary is not None
        return RepeatedLooks(**summary["looks"])

    assert found() == RepeatedLooks(1, [[0, 1]], [])
    assert found().number == 1
    assert found("n_seeds=3").words == "second look (2, 3 seeds)"
    assert found() == RepeatedLooks(2, [[0, 1], [0, 1, 2]], [2])
    assert found("training.lr=0.02").number == 1
    assert found("seed=1", "n_seeds=1").words == "third look (seeds 0-1, 0-2, 1)"
    assert found("seed_offset=7").sets[-1] == [7, 8]
    assert len(ledger.read_entries(outputs / "looks.jsonl")) == 7

    folder = sorted((outputs / "runs").iterdir())[2]
    redraw([str(folder)])
    assert len(ledger.read_entries(outputs / "looks.jsonl")) == 7
    summary = read_json(folder / run_folder.SUMMARY_FILE)
    assert summary is not None
    assert summary["looks"]["number"] == 2


def test_a_smoke_run_is_no_look(run, tmp_path: Path):
    run(*TINY, "n_seeds=1", "~figures")
    assert not (tmp_path / "outputs" / "moe" / "looks.jsonl").exists()
