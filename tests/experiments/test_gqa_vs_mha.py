"""The gqa_vs_mha experiment: conversion, records, resuming, and the claims of its YAML file."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from experiments import gqa_vs_mha as gqa
from experiments.gqa_vs_mha import Conversion, GQAOptions
from experiments.nn import attention
from experiments.parts.body import body_cost
from experiments.parts.transformer import build_transformer
from runner.plan.planning import Plan
from runner.plan.report_spec import read_report_spec
from runner.records.job import Stage
from runner.records.tracking import read_curves
from runner.study.entries import list_trials, make_job
from runner.trial import compute as trial
from tests.support.memory_trial import MemoryTrial

SMALL = (
    *("experiment=gqa_vs_mha", "scale=smoke", "task=waves", "task.width=6", "task.length=8"),
    *("task.n_samples=40", "task.n_eval=6", "training.steps=20", "training.eval_every=10"),
    *("training.log_every=5", "training.checkpoint_every=8", "model.d_model=32", "n_seeds=1"),
    *("options.uptrain_share=0.15", "options.d_model=64", "options.lengths=[8,16,32]"),
    *("options.prefill_lengths=[8]", "options.batch_size=2"),
)
MORE = 3  # 15 % of 20 steps


def compute(plan: Plan, *stages: Stage, send: Callable[[dict[str, Any]], None] = lambda _: None):
    """Compute the plan's first trial in this process; return results, curves and its folder."""
    entry = list_trials(plan)[0]
    for stage in stages or (Stage.run, Stage.timing):
        trial.compute_stage(make_job(plan, entry, stage), send)
    folder = entry.slot.folder
    record = entry.slot.read_first_stage(plan.arms[0].code) or entry.slot.result()
    assert record
    rows = pd.DataFrame(record["results"])
    curves = {(step, metric): value for step, metric, value in read_curves(folder)}
    return rows.set_index("metric"), curves, folder


@pytest.mark.some(1)
@pytest.mark.parametrize("n_kv_heads", [8, 4, 2, 1])
def test_what_an_arm_allocates(plan, n_kv_heads: int) -> None:
    study_plan = plan(*SMALL, f"+arms.x=['attention.n_kv_heads={n_kv_heads}']", "arm=x")
    results, _, folder = compute(study_plan)
    value, unit = results.value, results.unit
    # Two layers, batch 2, capacity 32, heads of width 32 / 8, float32.
    assert value["gqa/cache_bytes"] == 2 * 2 * 2 * n_kv_heads * 32 * 4 * 4
    assert unit["gqa/cache_bytes"] == "bytes"
    share = n_kv_heads / 8
    assert value["gqa/cache_reduction"] == pytest.approx(100 * (1 - share))
    # Of four equal matrices two shrink.
    assert value["gqa/attention_parameters"] == 2 * (2 + 2 * share) * 32 * 32
    assert value["gqa/parameter_reduction"] == pytest.approx(50 * (1 - share))
    parts = study_plan.arms[0].config.parts
    assert value["cost/parameters"] == body_cost(vars(parts)).parameters

    times = pd.read_csv(folder / "tables" / "times.csv")
    # Rounds x (lengths and reading), and once a prefill, its mixing and a generation.
    assert len(times) == 3 * (3 + 1) + 3
    decoded = times[times.stage == "decode"].groupby("length").ms.median()
    for length in ("8", "16", "32"):
        assert value[f"gqa/decode_time/length{length}"] == pytest.approx(decoded[length])
    assert value["gqa/decode_time"] == value["gqa/decode_time/length32"]
    (generated,) = times[times.stage == "generation"].ms
    assert value["gqa/generation"] == pytest.approx(2 * 32 / generated * 1e3)
    assert unit["gqa/generation"] == "tokens/s"
    n_bytes = 2 * 2 * n_kv_heads * 32 * 8 * 4
    assert (
        value["gqa/cache_of_layer/length32"] == n_bytes == 4 * value["gqa/cache_of_layer/length8"]
    )
    assert value["gqa/decode_bandwidth"] == pytest.approx(n_bytes / decoded["32"] / 1e6)
    assert value["gqa/read_limit"] == pytest.approx(n_bytes / decoded["read"] / 1e6)
    of_clock = ("gqa/decode_slope", "gqa/prefill_time/length8", "gqa/mixing_time/length8")
    assert {unit[name] for name in of_clock} == {"ms"}


def test_every_length_is_decoded_by_one_algorithm(plan, monkeypatch) -> None:
    (arm,) = plan(*SMALL, "arm=mqa").arms
    pinned: list[bool | None] = []
    original = attention.attend_one_query

    def spy(*args: torch.Tensor, use_matmul: bool | None = None) -> torch.Tensor:
        pinned.append(use_matmul)
        return original(*args, use_matmul=use_matmul)

    layer = gqa.build_timed_layer(MemoryTrial(arm.config, Path()))
    monkeypatch.setattr(attention, "attend_one_query", spy)
    cache = layer.new_cache(2, 32)
    for length in (7, 31):
        cache.length = length
        layer(torch.randn(2, 1, 64), cache=cache)
    assert pinned == [True, True]


def test_the_oracle_of_science(plan) -> None:
    study_plan = plan(
        *SMALL,
        *("arm=gqa2", "model.d_model=512", "model.n_layers=4", "options.batch_size=8"),
        *("options.lengths=[1024]", "training.steps=1", "training.warmup_steps=0"),
    )
    results, _, _ = compute(study_plan, Stage.run)
    assert results.value["gqa/cache_bytes"] == 2 * 4 * 8 * 1024 * 2 * 64 * 4 == 33_554_432


@pytest.mark.slow
def test_conversion_happens_to_the_model_that_mha_trains(plan) -> None:
    results, curves = {}, {}
    for arm in ("mha", "convert_mean", "convert_first", "convert_random", "gqa2"):
        results[arm], curves[arm], _ = compute(plan(*SMALL, f"arm={arm}"), Stage.run)
    control = curves["mha"]
    for how in ("mean", "first", "random"):
        one = curves[f"convert_{how}"]
        assert one.keys() == control.keys()
        assert all(one[key] == value for key, value in control.items() if key[0] <= 20)
        assert one[20 + MORE, "val/loss"] != control[20 + MORE, "val/loss"]
        assert results[f"convert_{how}"].value["val/loss"] == one[20 + MORE, "val/loss"]
        same = results[f"convert_{how}"].value.filter(like="gqa/cache")
        assert same.equals(results["gqa2"].value.filter(like="gqa/cache"))
    converted = {arm: rows.value["gqa/loss_converted"] for arm, rows in results.items()}
    assert converted["mha"] == control[20, "val/loss"]
    assert len(set(converted.values())) == 5
    assert control[20 + MORE, "train/lr"] == pytest.approx(0.1 * 3e-3)  # the last rate, kept


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [10, 20, 20 + MORE])
def test_a_killed_conversion_goes_on_to_the_same_bits(plan, stop_at: int) -> None:
    study_plan = plan(*SMALL, "arm=convert_random")

    def kill(event: dict[str, Any]) -> None:
        if event.get("step") == stop_at:
            raise KeyboardInterrupt

    def weights(folder: Path) -> bytes:
        return (folder / f"checkpoint/step-{20 + MORE}/weights.safetensors").read_bytes()

    with pytest.raises(KeyboardInterrupt):
        compute(study_plan, Stage.run, send=kill)
    again, curves, folder = compute(study_plan, Stage.run)
    state = weights(folder)
    shutil.rmtree(folder)
    whole, expected, folder = compute(study_plan, Stage.run)
    assert again.value["gqa/loss_converted"] == whole.value["gqa/loss_converted"]
    assert curves == expected
    assert state == weights(folder)


@pytest.mark.slow
def test_arms_differ_in_nothing_else(plan) -> None:
    arms = plan("experiment=gqa_vs_mha", "task=waves", "arm=null", "scale=smoke").arms
    for arm in arms:
        assert not arm.config.parts.attention.bias
        assert arm.config.parts.attention.n_heads == 8
    models = {
        arm.name: build_transformer(arm.config.parts, vocabulary=9, width=None, seed=3).state_dict()
        for arm in arms
    }
    for name, state in models.items():
        for key, value in state.items():
            other = models["mha"][key]
            pooled = ".key." in key or ".value." in key
            widened = name.endswith("_wide") and ".ffn." in key
            assert torch.equal(value, other) or pooled or widened, (name, key)
    parameters = {arm.name: body_cost(vars(arm.config.parts)).parameters for arm in arms}
    assert parameters["mqa"] < parameters["gqa2"] < parameters["gqa4"] < parameters["mha"]
    for arm in arms:
        if arm.name.endswith("_wide"):
            assert parameters[arm.name] == pytest.approx(parameters["mha"], rel=0.01)
            assert arm.config.options.rounds == 0


def test_an_arm_that_is_not_timed_has_no_times(plan) -> None:
    results, _, folder = compute(plan(*SMALL, "arm=convert_first"))
    assert not any(unit == "ms" for unit in results.unit)
    assert not (folder / "tables").exists()


@pytest.mark.some(1)
@pytest.mark.parametrize("scale", ["smoke", "quick", "full"])
def test_claims_and_their_controls_name_arms_that_the_scale_computes(plan, scale: str) -> None:
    study_plan = plan("experiment=gqa_vs_mha", "task=waves", f"scale={scale}")
    names = {arm.name for arm in study_plan.arms}
    for claim in read_report_spec(study_plan.study).claims:
        pairs = [claim, getattr(claim, "aa", None), getattr(claim, "positive_control", None)]
        said = {getattr(pair, role, None) for pair in pairs for role in ("arm", "control")}
        assert said - {None} <= names
        assert claim.n <= len(study_plan.seeds)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lengths": [64, 32]}, r"lengths=\[64, 32\]"),
        ({"lengths": []}, r"lengths=\[\]"),
        ({"prefill_lengths": [0]}, r"prefill_lengths=\[0\]"),
        ({"uptrain_share": 1.5}, "uptrain_share=1.5"),
        ({"rounds": -1}, "rounds=-1"),
    ],
)
def test_options_that_make_no_sense_are_named(change: dict[str, Any], words: str) -> None:
    options = {
        "convert": Conversion.none,
        "uptrain_share": 0.05,
        "d_model": 64,
        "batch_size": 2,
        "lengths": [32],
        "rounds": 3,
        "prefill_lengths": [8],
        "prefill_rounds": 1,
    }
    GQAOptions(**options)
    with pytest.raises(ValueError, match=words):
        GQAOptions(**options | change)
