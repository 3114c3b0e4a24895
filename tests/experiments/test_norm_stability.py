"""The experiment norm_stability: slopes over depth as published; watching changes no result."""

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments import norm_stability
from experiments.norm_stability import NormStabilityOptions
from experiments.parts.body import Init
from experiments.parts.norm import Placement
from experiments.parts.transformer import build_transformer
from experiments.probes.gradients import GradientNorms, log_slope
from runner.plan.report_spec import read_report_spec
from runner.trial.training import train
from tests.support.memory_trial import MemoryTrial

SMALL = (
    "experiment=norm_stability",
    "scale=smoke",
    "task=waves",
    "task.length=6",
    "task.width=4",
    "model.d_model=16",
    "ffn.d_ff=32",
    "training.steps=12",
    "training.eval_every=4",
    "training.checkpoint_every=4",
    "training.batch_size=6",
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: tiny models would wait for a second thread on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.some(1)
@pytest.mark.parametrize("placement", list(Placement))
def test_watching_changes_no_bit_of_training(plan: Callable, tmp_path: Path, placement) -> None:
    arm = plan(*SMALL, f"norm={placement}", "+arms.only=[]", "arm=only").arms[0]
    ends, curves = [], []
    for watch in ([], [GradientNorms()]):
        trial = MemoryTrial(arm.config, tmp_path / str(len(watch)))
        task = arm.config.parts.task.build(seed=0, batch_size=6, cache=tmp_path)
        net = build_transformer(
            arm.config.parts, vocabulary=task.vocabulary, width=task.width, seed=0
        )
        curves.append(train(trial, net, task, step_probes=watch))
        ends.append(net.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    assert curves[0] == {name: curves[1][name] for name in curves[0]}
    layers = [name for name in curves[1] if name.startswith("norm/grad/layer")]
    assert len(layers) == arm.config.parts.model.n_layers
    assert {len(values) for values in curves[1].values()} == {12}
    # Without clipping the blocks' gradients are part of the whole.
    for step, total in enumerate(curves[1]["train/grad_norm"]):
        assert math.hypot(*(curves[1][name][step] for name in layers)) < total


def test_a_trial_and_its_record(plan: Callable, tmp_path: Path) -> None:
    arm = plan(*SMALL).arms[0]
    trial = MemoryTrial(arm.config, tmp_path)
    norm_stability.run(trial)
    losses = [trial.rows[step, "train/loss"] for step in range(1, 13)]
    norms = [trial.rows[step, "train/grad_norm"] for step in range(1, 13)]
    assert trial.values["norm/loss_last"] == pytest.approx(statistics.fmean(losses[-10:]))
    assert trial.values["norm/grad_sd"] == pytest.approx(statistics.pstdev(norms))
    assert trial.values["norm/grad_max"] == max(norms)
    assert trial.values["norm/diverged"] == 0
    grads = {d: trial.values[f"norm/grad_last/depth{d}"] for d in (2, 4)}
    assert trial.values["norm/grad_slope"] == pytest.approx(log_slope(grads))
    # The model of the training depth starts as the measured one did: same first gradients.
    for layer in range(4):
        started = trial.rows[1, f"norm/grad/layer{layer}"]
        assert started == pytest.approx(trial.values[f"norm/grad/depth4/layer{layer}"], rel=1e-4)


@pytest.mark.slow
def test_a_stopped_trial_records_the_same(plan: Callable, tmp_path: Path) -> None:
    arm = plan(*SMALL).arms[0]
    whole = MemoryTrial(arm.config, tmp_path / "a")
    norm_stability.run(whole)
    stopped = MemoryTrial(arm.config, tmp_path / "b", stop_at=7)
    with pytest.raises(InterruptedError):
        norm_stability.run(stopped)
    resumed = MemoryTrial(arm.config, tmp_path / "b")
    norm_stability.run(resumed)
    clock = {"time/step", "time/throughput"}
    assert {k: v for k, v in resumed.results.items() if k not in clock} == {
        k: v for k, v in whole.results.items() if k not in clock
    }


def test_a_diverged_trial_is_kept(plan: Callable, tmp_path: Path) -> None:
    arm = plan(*SMALL, "training.lr=1e6", "training.warmup_steps=0").arms[1]
    trial = MemoryTrial(arm.config, tmp_path)
    norm_stability.run(trial)
    assert trial.diverged
    assert trial.reported_values["norm/diverged"] == 1
    assert trial.reported_values["norm/loss_last"] == trial.rows[0, "val/loss"]
    assert_only_gradients_are_missing(trial)


@pytest.mark.some(1)
@pytest.mark.parametrize("lr", ["1e6", "1e30"])
def test_whatever_the_rate_no_figure_is_left_without_a_number(plan: Callable, tmp_path, lr) -> None:
    arm = plan(*SMALL, f"training.lr={lr}", "training.warmup_steps=0").arms[0]
    trial = MemoryTrial(arm.config, tmp_path)
    norm_stability.run(trial)
    assert trial.diverged
    assert_only_gradients_are_missing(trial)


def assert_only_gradients_are_missing(trial: MemoryTrial) -> None:
    """A trial that broke off has no gradient norms over training; its other values count."""
    lost = {name for name, value in trial.reported_values.items() if not math.isfinite(value)}
    assert lost == {"norm/grad_sd", "norm/grad_max"}


def test_gradient_norms_that_are_never_finite(plan: Callable, tmp_path: Path) -> None:
    trial = MemoryTrial(plan(*SMALL).arms[0].config, tmp_path)
    trial.diverge("planted")
    curves = {"train/loss": [2.0, math.inf], "train/grad_norm": [math.inf, math.nan]}
    norm_stability.record_training(trial, curves, "1")
    assert trial.values.pop("norm/diverged") == 1.0
    assert set(trial.values) == {"norm/loss_last", "norm/grad_sd", "norm/grad_max", "norm/diverged"}
    assert all(math.isnan(trial.values[name]) for name in set(trial.values) - {"norm/diverged"})


def test_a_trial_that_broke_off_before_its_first_step(plan: Callable, tmp_path: Path) -> None:
    trial = MemoryTrial(plan(*SMALL).arms[0].config, tmp_path)
    trial.diverge("planted")
    norm_stability.record_training(trial, {}, "1")
    assert math.isnan(trial.values["norm/loss_last"])


@pytest.mark.slow
def test_an_arm_of_the_map_only_trains(plan: Callable, tmp_path: Path) -> None:
    arms = {arm.name: arm.config for arm in plan(*SMALL, "arm=null").arms}
    looking = {name for name, arm in arms.items() if arm.options.depths}
    assert looking == {"pre", "post", "peri", "deepnorm", "pre_copy", "post_copy"}
    assert {arm.training.lr for arm in arms.values()} == {3e-4, 3e-3, 1e-2}
    for start in ("pre", "post"):
        for rate in ("", "_hot", "_low"):
            warm, cold = (arms[start + rate + end].training for end in ("", "_cold"))
            assert cold == replace(warm, warmup_steps=0)
            assert warm.warmup_steps > 0
    trial = MemoryTrial(arms["post_hot"], tmp_path)
    norm_stability.run(trial)
    assert "val/loss" in trial.values
    assert "norm/diverged" in trial.values
    assert not any("depth" in name or "slope" in name for name in trial.values)


@pytest.mark.slow
def test_batches_of_their_own_before_training(plan: Callable, tmp_path: Path) -> None:
    values_of_runs = []
    for size in ("null", "6", "2"):
        arm = plan(*SMALL, f"options.init_batch_size={size}", "training.steps=3").arms[0]
        trial = MemoryTrial(arm.config, tmp_path / size)
        norm_stability.run(trial)
        values_of_runs.append(
            [trial.values[name] for name in ("norm/grad_last/depth4", "norm/loss_last")]
        )
    assert values_of_runs[0] == values_of_runs[1]  # null: as many as in training, here 6
    assert values_of_runs[2][0] != values_of_runs[0][0]
    assert values_of_runs[2][1] == values_of_runs[0][1]


@pytest.mark.parametrize("depths", [[4], [4, 4], [0, 4]])
def test_depths_must_make_a_slope(depths) -> None:
    with pytest.raises(ValueError, match="depths="):
        NormStabilityOptions(depths=depths, init_batches=1, init_batch_size=None)


@pytest.mark.slow
def test_every_arm_starts_plain_and_is_not_clipped(plan: Callable) -> None:
    arms = plan("experiment=norm_stability", "task=waves", "arm=null").arms
    assert {arm.name for arm in arms} >= {"pre", "post", "peri", "deepnorm", "pre_copy"}
    assert {arm.config.parts.model.init for arm in arms} == {Init.plain}
    assert {arm.config.training.clip for arm in arms} == {None}
    by_name = {arm.name: arm.config for arm in arms}
    for name in ("pre", "post"):
        copy = by_name[f"{name}_copy"]
        assert replace(copy, seed_offset=0) == by_name[name]
        assert copy.seed_offset == 1000


@pytest.mark.slow
def test_claims_about_post_ln_alone_have_an_a_a_pair_of_it(plan: Callable) -> None:
    claims = read_report_spec(plan("experiment=norm_stability", "scale=full").study).claims
    pairs = {claim.id: (claim.aa.arm, claim.aa.control) for claim in claims if claim.aa}
    about_post = {
        claim.id
        for claim in claims
        if claim.aa and all(arm.startswith("post") for arm in claim.compared_arms)
    }
    assert len(about_post) == 3
    assert {pairs[name] for name in about_post} == {("post_copy", "post")}
