"""Arms as lists of overrides, and `{copy_of: <arm>}`: an arm once more under other seeds."""

import re
from pathlib import Path

import pytest

from runner.claims.aa_pairs import find_aa_pairs
from runner.config import ConfigError
from runner.plan import arguments
from runner.plan.arms import expand_copies
from runner.plan.overrides import parse_override
from tests.runner.plan.test_bad_input import planned_own

MOE = ("experiment=moe", "scale=smoke", "task=waves")


def test_copies_are_written_out():
    arms = {
        "a": ["ffn=moe"],
        "first": {"copy_of": "a"},
        "bare": [],
        "second": {"copy_of": "a"},
        "of_bare": ["copy_of=bare"],
        "moved": ["seed_offset=5", "ffn=dense"],
        "third": {"copy_of": "moved"},
    }
    assert expand_copies(arms) == {
        "a": ["ffn=moe"],
        "first": ["ffn=moe", "seed_offset=1000"],
        "bare": [],
        "second": ["ffn=moe", "seed_offset=2000"],
        "of_bare": ["seed_offset=1000"],
        "moved": ["seed_offset=5", "ffn=dense"],
        "third": ["ffn=dense", "seed_offset=1005"],
    }


def test_a_copy_takes_an_offset_that_no_other_copy_has():
    arms = {
        "a": ["ffn=moe", "ffn.top_k=1", "seed_offset=1_000"],
        "by_hand": ["ffn.top_k=1", "ffn=moe", "++seed_offset=2000"],
        "copy": {"copy_of": "a"},
        "of_hand": ["copy_of=by_hand"],
    }
    written = expand_copies(arms)
    assert written["copy"] == ["ffn=moe", "ffn.top_k=1", "seed_offset=3000"]
    assert written["of_hand"] == ["ffn.top_k=1", "ffn=moe", "seed_offset=4000"]


def test_a_copy_has_seeds_where_its_original_has_the_last_ones():
    written = expand_copies({"a": ["seed_offset=2147483647"], "copy": {"copy_of": "a"}})
    assert written["copy"] == ["seed_offset=0"]


@pytest.mark.parametrize("offset", ["${seed}", "1e3", "true", "null", "[1]"])
def test_a_copy_counts_from_whole_numbers_alone(offset: str):
    with pytest.raises(ConfigError, match=r"arms\.a: seed_offset=.* must be a whole") as told:
        expand_copies({"a": ["ffn=moe", f"seed_offset={offset}"], "copy": {"copy_of": "a"}})
    assert "\n" not in str(told.value)


def test_a_copy_is_moved_from_the_offset_of_the_whole_study(plan):
    made = plan(*MOE, "seed_offset=1000", "+arms.x={copy_of: dense}", "arm=[dense,x]")
    assert [arm.config.seed_offset for arm in made.arms] == [1000, 2000]


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ("{copy_of: densee}", "arms.x: copy_of=densee: there is no such arm; did you mean dense"),
        ("{copy_of: moe_top2_copy}", "arms.x: copy_of=moe_top2_copy: moe_top2_copy is a copy too"),
        ("{copy_of: x}", "arms.x: copy_of=x: an arm cannot copy itself; name another arm"),
        ("{copy_of: dense, more: 1}", "arms.x has the keys copy_of, more; an arm is a list of"),
        (
            "{more: 1}",
            "arms.x has the keys more; an arm is a list of overrides or",
        ),
        ("{copy_of: null}", "arms.x: copy_of=null: there is no such arm"),
        ("{copy_of: [dense]}", r"arms.x: copy_of=\[dense\]: there is no such arm"),
        ("{}", "arms.x has no overrides; an arm is a list"),
    ],
)
def test_a_copy_of_nothing_is_refused(plan, tmp_path: Path, monkeypatch, arm: str, said: str):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said):
        plan(*MOE, f"+arms.x={arm}")
    ending, _ = planned_own(tmp_path, f"arms: {{x: {arm}}}\n")
    assert ending.code == 2
    assert re.search(said, ending.message)


@pytest.mark.some(1)
@pytest.mark.parametrize(
    "typed", ["+arms.x={copy_of: dense}", "+arms.x.copy_of=dense", "+arms={x: {copy_of: dense}}"]
)
def test_a_copy_can_be_typed(plan, typed: str):
    made = plan(*MOE, typed, "arm=[dense,x]")
    assert made.study.arms["x"] == ["ffn=dense", "seed_offset=1000"]
    assert find_aa_pairs({arm.name: arm.config.signature_tree() for arm in made.arms}) == {
        "x": "dense"
    }


@pytest.mark.some(1)
@pytest.mark.parametrize(
    "typed",
    [
        "+arms={moe_top1: {copy_of: dense}}",  # a list in our file
        "arms.moe_top1={copy_of: ${baseline}}",
        "arms={moe_top1: {copy_of: '${baseline}'}}",
    ],
)
def test_a_copy_that_is_typed_replaces_a_list(plan, typed: str):
    made = plan(*MOE, typed, "baseline=dense", "arm=[dense,moe_top1]")
    assert made.study.arms["moe_top1"] == ["ffn=dense", "seed_offset=1000"]


@pytest.mark.slow
def test_a_copy_in_a_file_may_name_its_arm_by_a_key(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = 'baseline: dense\narm: [dense, x]\narms: {x: {copy_of: "${baseline}"}}\n'
    ending, made = planned_own(tmp_path, own)
    assert ending.message == ""
    assert made.study.arms["x"] == ["ffn=dense", "seed_offset=1000"]


def test_copies_can_be_swept_over():
    for key in ("arms.x", "+arms.x"):
        (mended,) = arguments.check_arguments([f"{key}={{copy_of: a}},{{copy_of: b}},[c]"])
        assert mended == f'{key}=["copy_of=a"],["copy_of=b"],[c]'
        points = [*parse_override(mended).sweep_string_iterator()]
        assert points == ['["copy_of=a"]', '["copy_of=b"]', "[c]"]
    (mended,) = arguments.check_arguments(["+arms.x.copy_of=a,b"])
    assert mended == '+arms.x=["copy_of=a"],["copy_of=b"]'


def test_an_arm_that_is_typed_as_a_copy_is_computed(plan):
    made = plan(*MOE, "+arms.x={copy_of: dense}")
    assert [arm.name for arm in made.arms] == ["dense", "moe_top2", "x"]
    assert [arm.config.seed_offset for arm in made.arms] == [0, 0, 1000]


def test_a_copy_and_a_list_replace_each_other(plan, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = 'arms.moe_top2_copy=["ffn=moe","seed_offset=7000"]'
    assert plan(*MOE, typed).study.arms["moe_top2_copy"] == ["ffn=moe", "seed_offset=7000"]
    made = plan(*MOE, "arms.moe_top1={copy_of: moe_top2}")
    assert made.study.arms["moe_top1"][-1] == "seed_offset=2000"  # behind moe_top2_copy
    own = "arms: {moe_top2_copy: [ffn=moe, seed_offset=7000], moe_bias: {copy_of: dense}}\n"
    ending, made = planned_own(tmp_path, own)
    assert ending.message == ""
    assert made.study.arms["moe_top2_copy"] == ["ffn=moe", "seed_offset=7000"]
    assert made.study.arms["moe_bias"] == ["ffn=dense", "seed_offset=1000"]


def test_a_copy_follows_its_original(plan):
    made = plan(*MOE, 'arms.moe_top2=["ffn=moe","ffn.top_k=1"]')
    assert made.study.arms["moe_top2_copy"] == ["ffn=moe", "ffn.top_k=1", "seed_offset=1000"]
