"""The experiment norm_stability: slopes over depth as published; a watch that changes nothing."""

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from memory_trial import MemoryTrial
from torch.nn import functional as F

from experiments import config, norm_stability
from experiments.config import Activation, Init, NormType, Placement, Position
from experiments.nn.build import build_transformer
from experiments.nn.transformer import Transformer
from experiments.probes.gradients import GradientNorms, depth_profile, log_slope
from experiments.tasks.batch import Batch
from experiments.tasks.build import build_task
from runner.training import train

DEPTHS = (4, 8, 16)
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
    """Tiny models spend their time waiting for a second thread on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def model(placement: Placement, n_layers: int, seed: int, init: Init = Init.plain) -> Transformer:
    arm = SimpleNamespace(
        model=config.Model(64, n_layers, init),
        attention=config.Attention(
            "multihead", 4, 4, False, 0.0, Position.rotary, config.Kernel.fused
        ),
        ffn=config.FeedForward("dense", 256, Activation.relu, False, False, 0.0),
        norm=config.Norm("norm", placement, NormType.layer, 1e-5),
    )
    return build_transformer(arm, vocabulary=128, width=None, seed=seed)


def random_tokens(seed: int) -> Batch:
    source = torch.Generator().manual_seed(seed)
    tokens, target = torch.randint(0, 128, (2, 4, 24), generator=source)
    return Batch((tokens,), target, torch.ones(4, 24, dtype=torch.bool), torch.zeros(4).long())


def slopes(placement: Placement, init: Init = Init.plain) -> dict[str, float]:
    """Mean over seeds of `at_initialisation`'s slopes, on random tokens."""

    def loss_of(prediction: torch.Tensor, batch: Batch) -> torch.Tensor:
        return F.cross_entropy(prediction.flatten(0, 1), batch.target.flatten())

    found = []
    for seed in range(3):
        profiles = {
            depth: depth_profile(model(placement, depth, seed, init), random_tokens(seed), loss_of)
            for depth in DEPTHS
        }
        found.append(norm_stability.at_initialisation(profiles))
    return {name: statistics.fmean(f[name] for f in found) for name in found[0] if "slope" in name}


@pytest.mark.parametrize(
    ("placement", "low", "high", "grows"),
    [
        # Xiong 2020: 1 / sqrt(depth) for Pre-LN, level for Post-LN; the stream's variance grows
        # in proportion to depth where no norm stands on it.
        (Placement.pre, -0.6, -0.35, True),
        (Placement.peri, -0.6, -0.35, True),
        (Placement.deepnorm, -0.6, -0.35, False),
        (Placement.post, -0.2, 0.25, False),
    ],
)
def test_gradients_over_depth_as_published(placement, low, high, grows) -> None:
    found = slopes(placement)
    assert low < found["norm/grad_slope"] < high
    assert found["norm/variance_slope"] == pytest.approx(1.0 if grows else 0.0, abs=0.15)


def test_a_scaled_start_would_hide_it() -> None:
    assert slopes(Placement.pre, Init.scaled)["norm/grad_slope"] > -0.2


def test_metrics_at_initialisation() -> None:
    net, batch = model(Placement.pre, 2, 0), random_tokens(0)
    profile = depth_profile(net, batch, lambda p, b: F.cross_entropy(p.mT, b.target))
    found = norm_stability.at_initialisation({2: profile, 4: profile})
    assert found["norm/grad_last/depth2"] == profile.grad_down[1]
    assert found["norm/grad_first_last/depth2"] == profile.grad[0] / profile.grad[1]
    assert found["norm/variance_last/depth4"] == found["norm/variance/depth4/layer2"]
    assert found["norm/grad_slope"] == pytest.approx(0.0)
    twice = norm_stability.mean_profile([profile, profile])
    assert twice.grad_stream == pytest.approx(profile.grad_stream)


@pytest.mark.parametrize("placement", list(Placement))
def test_watching_changes_no_bit_of_training(plan: Callable, tmp_path: Path, placement) -> None:
    arm = plan(*SMALL, f"norm={placement}", "+arms.only=[]", "arm=only").arms[0]
    ends, curves = [], []
    for watch in ([], [GradientNorms()]):
        trial = MemoryTrial(arm.config, tmp_path / str(len(watch)))
        task = build_task(arm.config.parts.task, seed=0, batch_size=6, cache=tmp_path)
        net = build_transformer(
            arm.config.parts, vocabulary=task.vocabulary, width=task.width, seed=0
        )
        curves.append(train(trial, net, task, watch=watch))
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
    # The model of the training depth starts as the one that was looked at: same first gradients.
    for layer in range(4):
        started = trial.rows[1, f"norm/grad/layer{layer}"]
        assert started == pytest.approx(trial.values[f"norm/grad/depth4/layer{layer}"], rel=1e-4)


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
    assert trial.values["norm/diverged"] == 1
    assert trial.values["norm/loss_last"] == trial.rows[1, "train/loss"]
    assert all(math.isfinite(value) for value in trial.values.values())


@pytest.mark.parametrize("lr", ["1e6", "1e30"])
def test_whatever_the_rate_no_figure_is_left_without_a_number(plan: Callable, tmp_path, lr) -> None:
    arm = plan(*SMALL, f"training.lr={lr}", "training.warmup_steps=0").arms[0]
    trial = MemoryTrial(arm.config, tmp_path)
    norm_stability.run(trial)
    assert trial.diverged
    assert all(math.isfinite(value) for value in trial.values.values())


def test_gradient_norms_that_are_never_finite(plan: Callable, tmp_path: Path) -> None:
    trial = MemoryTrial(plan(*SMALL).arms[0].config, tmp_path)
    trial.diverge("planted")
    curves = {"train/loss": [2.0, math.inf], "train/grad_norm": [math.inf, math.nan]}
    norm_stability.record_training(trial, curves, "1")
    assert trial.values == {"norm/loss_last": 2.0, "norm/diverged": 1.0}


def test_an_arm_of_the_map_only_trains(plan: Callable, tmp_path: Path) -> None:
    arms = {arm.name: arm.config for arm in plan(*SMALL, "arm=null").arms}
    looking = {name for name, arm in arms.items() if arm.options.depths}
    assert looking == {"pre", "post", "peri", "deepnorm", "pre_copy"}
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


def test_batches_of_their_own_before_training(plan: Callable, tmp_path: Path) -> None:
    seen = []
    for size in ("null", "6", "2"):
        arm = plan(*SMALL, f"options.init_batch_size={size}", "training.steps=3").arms[0]
        trial = MemoryTrial(arm.config, tmp_path / size)
        norm_stability.run(trial)
        seen.append([trial.values[name] for name in ("norm/grad_last/depth4", "norm/loss_last")])
    assert seen[0] == seen[1]  # null: as many as in training, here 6
    assert seen[2][0] != seen[0][0]
    assert seen[2][1] == seen[0][1]


@pytest.mark.parametrize("depths", [[4], [4, 4], [0, 4]])
def test_depths_must_make_a_slope(depths) -> None:
    with pytest.raises(ValueError, match="depths="):
        config.NormStabilityOptions(depths=depths, init_batches=1, init_batch_size=None)


def test_every_arm_starts_plain_and_is_not_clipped(plan: Callable) -> None:
    arms = plan("experiment=norm_stability", "task=waves", "arm=null").arms
    assert {arm.name for arm in arms} >= {"pre", "post", "peri", "deepnorm", "pre_copy"}
    assert {arm.config.parts.model.init for arm in arms} == {Init.plain}
    assert {arm.config.training.clip for arm in arms} == {None}
    by_name = {arm.name: arm.config for arm in arms}
    copy = replace(by_name["pre_copy"], seed_offset=0)
    assert copy == by_name["pre"]
    assert by_name["pre_copy"].seed_offset == 1000
