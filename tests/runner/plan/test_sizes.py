"""Sizes, seeds and tuning that cannot be: refused in the plan, at once, with advice that works."""

import re
import time

import pytest

from runner.config import ConfigError, Device
from runner.plan import estimates, memory

FFN = ("experiment=ffn", "task=function", "task.width=8", "task.n_samples=64", "task.length=16")
PAIR = "arm=[relu,relu_copy]"
WAVES = ("experiment=moe", "task=waves", "arm=[dense,moe_top2]", "n_seeds=1")
TRANSLATION = ("experiment=translation", "scale=smoke", "task=pairs15", "arm=base", "n_seeds=1")


def refused(plan, *overrides: str) -> str:
    began = time.process_time()  # as if nobody else used the machine
    with pytest.raises(ConfigError) as caught:
        plan(*overrides)
    assert time.process_time() - began < 3, "it takes too long to refuse"
    said = str(caught.value)
    assert len(said) <= 300, said
    assert len(said.splitlines()) <= 3
    return said


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("training.batch_size=1000000000", "activations of a batch.*training.batch_size"),
        ("model.n_layers=100000", "weights, gradients.*model.n_layers"),
        ("task.length=1000000000", "task.length"),
        ("model.d_model=1000000000", "weights, gradients.*model.d_model"),
        ("task.n_samples=1000000000", "most of it data.*task.n_samples"),
        ("ffn.d_ff=1000000000", "weights.*lower ffn.d_ff"),
        ("task.width=1000000000", "lower task.width"),
    ],
)
def test_a_size_that_cannot_fit_is_refused_with_the_figure_and_the_keys(plan, typed, said):
    words = refused(plan, *WAVES, typed)
    assert re.search(said, words.replace("\n", " ")), words
    assert re.search(r"takes at least [\d.,e+]+ GiB", words)
    assert re.search(r"[\d.e+]+ GiB are free", words)
    if more := re.search(r"device\.memory_gib=\d+", words):
        plan(*WAVES, typed, more[0])


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("overrides", "typed"),
    [
        (("experiment=flash_attention", "arm=naive"), "options.lengths=[4000000]"),
        (("experiment=gqa_vs_mha", "arm=mha"), "options.lengths=[1000000000]"),
        (("experiment=norm_stability", "arm=pre"), "options.depths=[1,1000000]"),
        (("experiment=translation", "arm=base"), "model.d_model=1000000"),
        (("experiment=moe", "arm=dense", "task=patterns"), "task.n_eval=200000000"),
        (("experiment=head_analysis", "arm=two_layers"), "task.vocabulary=2000000000"),
        (("experiment=moe", "arm=moe_top2", "task=waves"), "ffn.n_experts=1000000000"),
    ],
)
def test_each_experiment_has_a_bound(plan, overrides, typed):
    said = refused(plan, *overrides, typed, "n_seeds=1", "scale=smoke")
    assert "takes at least" in said
    assert f"lower {typed.partition('=')[0]}" in said  # the first of the keys


@pytest.mark.parametrize("typed", ["task.train_bytes=1000000000", "task.n_eval=2000000000"])
def test_more_text_than_there_is_is_refused_before_any_is_read(plan, typed):
    said = refused(plan, "experiment=moe", "arm=dense", typed)
    assert "more text than the installed packages hold" in said


def test_memory_is_what_the_key_says_and_changes_no_signature(plan):
    said = refused(plan, *WAVES, "device.memory_gib=0.001")
    assert "device.memory_gib allows 0.001" in said
    plain, given = plan(*WAVES), plan(*WAVES, "device.memory_gib=64")
    assert [arm.signature for arm in plain.arms] == [arm.signature for arm in given.arms]
    for typed in ("0", "-1"):
        assert "memory_gib" in refused(plan, *WAVES, f"device.memory_gib={typed}")


def test_several_trials_at_a_time_are_told_and_not_refused(plan):
    one = estimates.least_memory(plan(*WAVES).arms[1].config).total / memory.GIB
    made = plan(*WAVES, "workers=2", f"device.memory_gib={1.5 * one}")
    assert "2 parallel trials of arm" in "\n".join(made.notes)
    assert "workers=1 fits" in "\n".join(made.notes)
    assert "parallel trials" not in "\n".join(plan(*WAVES, "workers=2").notes)


def test_free_memory_is_below_what_a_limit_leaves(tmp_path, monkeypatch):
    everything = memory.free_memory()
    assert 2**20 < everything < 2**50
    (tmp_path / "memory.max").write_text("1048576\n")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    assert memory.free_memory() == 2**20
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() > 2**20


@pytest.mark.parametrize(
    "typed",
    [
        "task.n_eval=100000000000000000000000",
        "training.steps=3000000000",
        "options.n_permutations=2147483649",
        "workers=100000000000",
        f"training.batch_size={10**400}",
    ],
)
def test_a_whole_number_beyond_all_sizes_is_refused_with_the_most(plan, typed: str):
    said = refused(plan, *WAVES, typed)
    assert typed.split("=")[0].split(".")[-1] in said
    assert "must be at most 2147483647" in said


def test_more_threads_than_a_machine_can_have_are_refused(plan):
    said = refused(plan, *WAVES, "device=cpu", "device.threads=1024")
    most = re.search(r"at most (\d+) threads", said)
    assert most
    plan(*WAVES, "device=cpu", f"device.threads={most[1]}")


def copy_at(offset: object) -> str:
    return f'arms.relu_copy=["ffn=relu","seed_offset={offset}"]'


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "typed",
    [
        ["seed_offset=-5"],
        ["seed_offset=2147483647"],
        ["n_seeds=2000", copy_at(1500)],
        ["n_seeds=10000"],
        ["n_seeds=10000", "seed=2", copy_at(-3)],
        [copy_at(2147483647)],
    ],
)
def test_an_offset_that_is_advised_is_accepted(plan, typed: list[str]):
    said = refused(plan, *FFN, PAIR, "scale=smoke", *typed)
    free = re.search(r"seed_offset=(\d+) is free|give relu_copy an offset of (\d+)", said)
    assert free, said
    offset = free[1] or free[2]
    kept = [text for text in typed if not text.startswith(("arms.", "seed_offset="))]
    everywhere = typed[0].startswith("seed_offset=")
    mended = f"seed_offset={offset}" if everywhere else copy_at(offset)
    plan(*FFN, PAIR, "scale=smoke", *kept, mended)


@pytest.mark.some(1)
@pytest.mark.parametrize(
    "typed", [["seed=2147483647"], ["seed=2147483640"], ["seed=2147483600", "seed_offset=100"]]
)
def test_a_seed_so_high_that_the_last_would_not_fit_names_the_highest(plan, typed: list[str]):
    said = refused(plan, *FFN, PAIR, "n_seeds=10", *typed)
    most = re.search(r"seed of at most (\d+)", said)
    assert most
    plan(*FFN, PAIR, "n_seeds=10", "scale=smoke", f"seed={most[1]}", *typed[1:])


def test_a_pair_that_is_advised_is_accepted(plan):
    def claim(pair: str) -> str:
        written = "statement: s, kind: difference, metric: val/loss, arm: gelu, control: relu"
        written += ", direction: less, n: 8, family: X, source: me"
        return f"+claims.X={{{written}, aa: {{arm: {pair}, control: relu}}}}"

    arms = "arm=[relu,gelu,relu_copy]"
    said = refused(plan, *FFN, arms, "n_seeds=8", claim("gelu"))
    copy = re.search(r"'(\+arms\.x=.*)'", said)
    assert copy, said
    made = plan(*FFN, "arm=[relu,gelu,relu_copy,x]", "n_seeds=8", copy[1], claim("x"))
    assert made.arms[-1].config.seed_offset == 2000  # relu_copy has 1000


@pytest.mark.parametrize(("batch", "parts"), [(64, 4), (45, 9), (1000, 1000), (16, 8)])
def test_a_batch_that_cannot_be_cut_is_refused_with_parts_that_can(plan, batch: int, parts: int):
    typed = (f"training.batch_size={batch}", f"training.accumulate={parts}")
    said = refused(plan, *TRANSLATION, *typed)
    assert "a batch of 15" in said
    fits = re.search(r"; use training\.accumulate=(\d+)( |$)", said)
    assert fits
    made = plan(*TRANSLATION, typed[0], f"training.accumulate={fits[1]}")
    assert 15 % made.arms[0].config.training.accumulate == 0


@pytest.mark.parametrize(("batch", "parts"), [(15, 5), (12, 4), (60, 5)])
def test_a_batch_that_can_be_cut_is_planned(plan, batch: int, parts: int):
    plan(*TRANSLATION, f"training.batch_size={batch}", f"training.accumulate={parts}")


TUNED = (*WAVES, "tune=lr")


@pytest.mark.some(6)
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["tune.metric=nope"], "tune.metric=nope: no arm has it; there are: cost/.* and .* more"),
        ([f"tune.metric={'x' * 500}"], "no arm has it"),
        (["tune.metric=val/los"], "did you mean val/loss"),
        (["tune.metric=train/loss"], "no arm has it"),  # a curve, and no final value
        (["tune.metric=moe/load_cv"], "dense lacks it.*arm=.moe_top2."),
        (["tune.metric=moe/load/layer7/expert0", "arm=moe_top2"], "no arm has it"),
        (["tune.metric=ffn/zero_share"], "no arm has it"),
        (["tune.key=nope"], "tune.key=nope: no arm has it"),
        (["tune.key=training.lrr"], "did you mean .*training.lr"),
        (["tune.key=ffn.n_experts"], "dense lacks it"),
        (["tune.key=training.schedule"], "no arm has it"),  # no number
        (["tune.key=seed_offset"], "no arm has it"),
        (["tune.n_seeds=1000000000"], "must lie between 1 and 10000"),
        ([f"tune.grid=[{','.join(map(str, range(1, 200)))}]"], "grid has 199 values"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_trained(plan, typed, said):
    words = refused(plan, *TUNED, *typed)
    assert re.search(said, words), words


@pytest.mark.parametrize("metric", ["time/step", "moe/load_cv", "moe/load/layer1/expert0"])
def test_what_can_be_tuned_is_planned(plan, metric: str):
    plan(*TUNED, "arm=moe_top2", f"tune.metric={metric}")


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "typed",
    [
        ["tune.first_seed=0"],
        ["tune.first_seed=49990", "seed=50000"],
        ["tune.first_seed=2147483647"],
        ["tune.first_seed=1000", "n_seeds=1600"],
    ],
)
def test_tuning_seeds_that_are_advised_are_accepted(plan, typed: list[str]):
    said = refused(plan, *TUNED, "tune.n_seeds=20", *typed)
    free = re.search(r"tune\.first_seed=(\d+)$", said)
    assert free, said
    plan(*TUNED, "tune.n_seeds=20", *typed[1:], free[0])


def test_a_device_without_the_key_is_told_of_it():
    assert Device.__dataclass_fields__["memory_gib"].metadata == {"numbers": False}
