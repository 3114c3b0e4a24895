"""The training loop on a model small enough to reason about."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from runner.config import Autocast, Device, DeviceName, Dtype, Schedule, Training
from runner.trial import checkpoint, optimizer, training
from runner.trial.trial import Trial
from tests.support.memory_trial import MemoryTrial

CONFIG = Training(
    steps=12,
    batch_size=4,
    lr=0.05,
    schedule=Schedule.cosine,
    warmup_steps=2,
    final_lr_share=0.1,
    weight_decay=0.1,
    beta1=0.9,
    beta2=0.95,
    clip=1.0,
    accumulate=1,
    compile=False,
    log_every=1,
    eval_every=3,
    checkpoint_every=5,
)


class Batch(NamedTuple):
    inputs: tuple[Tensor, ...]
    target: Tensor
    keep: Tensor

    def split(self, parts: int) -> list["Batch"]:
        rows = [list(range(i, 4, parts)) for i in range(parts)]
        return [Batch((self.inputs[0][r],), self.target[r], self.keep[r]) for r in rows]

    def to(self, device: torch.device) -> "Batch":
        return Batch((self.inputs[0].to(device),), self.target.to(device), self.keep.to(device))


class Line:
    """Learn y = 3 x; `explode_at` makes the target infinite from that step on."""

    unit = "mse"
    n_held_out_bytes: float | None = None

    def __init__(self, explode_at: int | None = None) -> None:
        self.explode_at = explode_at

    def batch(self, step: int) -> Batch:
        x = torch.randn(4, 1, 1, generator=torch.Generator().manual_seed(step))
        y = 3 * x if self.explode_at is None or step < self.explode_at else x * math.inf
        return Batch((x,), y, torch.ones(4, 1, dtype=torch.bool))

    def evaluation(self) -> Iterator[Batch]:
        yield self.batch(-1)

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        return (prediction - batch.target).square().mean()

    def metrics(self, prediction: Tensor, batch: Batch) -> dict[str, float]:  # noqa: ARG002
        return {}


class Output(NamedTuple):
    prediction: Tensor
    aux_loss: Tensor


class Slope(nn.Module):
    def __init__(self, aux: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.dropout = nn.Dropout(0.1)
        self.aux = aux
        self.steps = 0
        with torch.no_grad():
            self.linear.weight.fill_(0.5)
            self.linear.bias.zero_()

    def forward(self, x: Tensor, keep: Tensor) -> Output:  # noqa: ARG002
        return Output(self.dropout(self.linear(x)), torch.tensor(self.aux))

    def after_step(self, output: Output) -> None:  # noqa: ARG002
        self.steps += 1


def trial_of(folder: Path, autocast: str = "none", **changes: object) -> MemoryTrial:
    """Return a trial whose training is CONFIG with `changes`."""
    device = Device(
        DeviceName.cpu,
        Dtype.float32,
        Autocast(autocast),
        threads=1,
        deterministic=False,
        memory_gib=None,
    )
    config = SimpleNamespace(training=replace(CONFIG, **changes), device=device, seed_offset=0)
    return MemoryTrial(config, folder)


def test_it_learns_and_records(tmp_path: Path):
    trial, model = trial_of(tmp_path, steps=80), Slope()
    training.train(trial, model, Line())
    first = trial.rows[0, "val/loss"]
    value, unit = trial.results["val/loss"]
    assert value < 0.2 * first
    assert unit == "mse"
    assert value == trial.rows[80, "val/loss"]
    assert model.steps == 80
    assert trial.results["time/step"][1] == "s"
    assert not trial.diverged


def test_auxiliary_losses_stay_out_of_the_reported_loss(tmp_path: Path):
    plain = trial_of(tmp_path / "a")
    training.train(plain, Slope(), Line())
    burdened = trial_of(tmp_path / "b")
    training.train(burdened, Slope(aux=100.0), Line())
    assert plain.results["val/loss"] == burdened.results["val/loss"]
    assert plain.rows[3, "train/loss"] == burdened.rows[3, "train/loss"]
    assert burdened.rows[3, "train/aux_loss"] == 100.0


@pytest.mark.parametrize("stop_at", [3, 5, 6, 11])
def test_a_stopped_trial_goes_on_to_the_same_bits(tmp_path: Path, stop_at: int):
    whole, model = trial_of(tmp_path / "whole"), Slope()
    training.train(whole, model, Line())

    stopped = trial_of(tmp_path / "stopped")
    stopped.stop_at = stop_at
    with pytest.raises(InterruptedError):
        training.train(stopped, Slope(), Line())
    resumed, again = trial_of(tmp_path / "stopped"), Slope()
    if stop_at > 5:
        torch.manual_seed(99)  # the checkpoint restores the generator
    training.train(resumed, again, Line())

    assert resumed.resume_steps == [5 * (stop_at // 6) if stop_at <= 10 else 10]
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True)
    )
    rows_before = {key: v for key, v in stopped.rows.items() if key[0] <= resumed.resume_steps[0]}
    assert rows_before | resumed.rows == whole.rows
    assert resumed.results["val/loss"] == whole.results["val/loss"]


def test_a_resumed_trial_reports_the_step_that_it_resumes_from(tmp_path: Path, monkeypatch):
    stopped = trial_of(tmp_path, steps=20)
    stopped.stop_at = 12
    with pytest.raises(InterruptedError):
        training.train(stopped, Slope(), Line())
    reports: list[tuple[int, int, float]] = []
    for _ in range(2):  # from the checkpoint of step 10, then from the last one
        resumed = trial_of(tmp_path, steps=20)
        monkeypatch.setattr(resumed, "progress", lambda *report: reports.append(report))
        training.train(resumed, Slope(), Line())
    assert reports[0] == (10, 20, stopped.rows[10, "train/loss"])
    assert reports[-1][:2] == (20, 20)
    assert [report[0] for report in reports].count(20) == 2


def test_the_progress_of_a_trial_has_the_step_that_it_resumed_from():
    events: list[dict[str, object]] = []
    trial = SimpleNamespace(from_step=10, _send=events.append)
    Trial.progress(trial, 12, 20, 0.5)  # type: ignore[arg-type]
    assert events == [{"step": 12, "steps": 20, "loss": 0.5, "from_step": 10}]


def test_a_trial_asked_to_stop_leaves_a_checkpoint_of_its_step(tmp_path: Path):
    class Asked(Line):
        def batch(self, step: int) -> Batch:
            trial.stop_requested = step == 7
            return super().batch(step)

    trial = trial_of(tmp_path)
    with pytest.raises(training.TrialStopped, match="step 7"):
        training.train(trial, Slope(), Asked())
    assert checkpoint.steps(trial.checkpoints) == [5, 7]


def test_a_loss_that_is_not_finite_ends_the_trial_and_counts_as_its_first_loss(tmp_path: Path):
    trial = trial_of(tmp_path)
    training.train(trial, Slope(), Line(explode_at=7))
    assert trial.diverged is not None
    assert "step 7" in trial.diverged
    assert trial.results["val/loss"][0] == trial.rows[0, "val/loss"]
    assert max(step for step, _ in trial.rows) == 6


class Poisoned(Line):
    """Y = 3 x, with a loss that is finite and a gradient that is not, at one step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at
        self.step = 0

    def batch(self, step: int) -> Batch:
        self.step = step
        return super().batch(step)

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        loss = super().loss(prediction, batch)
        if self.step == self.at and prediction.requires_grad:
            loss = loss + 0 * (prediction - prediction.detach()).sqrt().sum()  # 0 * inf: NaN
        return loss


@pytest.mark.parametrize("at", [1, 7, 80])
def test_a_gradient_that_is_not_finite_is_divergence(tmp_path: Path, at: int):
    trial = trial_of(tmp_path, steps=80)
    training.train(trial, Slope(), Poisoned(at))
    assert trial.diverged == f"the gradient norm is nan at step {at}"
    assert trial.results["val/loss"][0] == trial.rows[0, "val/loss"]
    assert not checkpoint.steps(trial.checkpoints) or max(checkpoint.steps(trial.checkpoints)) < at


def test_an_auxiliary_loss_that_is_not_finite_is_divergence(tmp_path: Path):
    trial = trial_of(tmp_path)
    training.train(trial, Slope(aux=math.inf), Line())
    assert trial.diverged == "the auxiliary loss is inf at step 1"


@pytest.mark.parametrize(("at", "step"), [(0, 0), (1, 3), (4, 12)])
def test_a_held_out_loss_that_is_not_finite_is_divergence(tmp_path: Path, at: int, step: int):
    class Unseen(Line):
        def __init__(self) -> None:
            super().__init__()
            self.looks = 0

        def evaluation(self) -> Iterator[Batch]:
            batch = self.batch(-1)
            yield batch._replace(target=batch.target * (math.inf if self.looks == at else 1.0))
            self.looks += 1

    trial = trial_of(tmp_path)
    curves = training.train(trial, Slope(), Unseen())
    assert trial.diverged == f"the held-out loss is inf at step {step}"
    assert max(row for row, _ in trial.rows) == step
    assert len(curves.get("train/loss", ())) == step
    if at:
        assert trial.results["val/loss"][0] == trial.rows[0, "val/loss"]


@pytest.mark.parametrize("kind", ["parameter", "buffer", "bfloat16", "float64"])
def test_weights_that_are_not_finite_are_divergence(tmp_path: Path, kind: str):
    class Idle(Slope):
        """A model with a part that its predictions do not need, and that breaks at step 4."""

        def __init__(self) -> None:
            super().__init__()
            dtype = getattr(torch, kind, torch.float32)
            self.idle = nn.Parameter(torch.zeros(3, dtype=dtype))
            self.register_buffer("mean", torch.zeros(2))
            self.register_buffer("count", torch.zeros(2, dtype=torch.long))

        @torch.no_grad()
        def after_step(self, output: Output) -> None:
            super().after_step(output)
            if self.steps == 4:
                (self.mean if kind == "buffer" else self.idle)[1] = math.inf

    trial = trial_of(tmp_path)
    training.train(trial, Idle(), Line())
    name = "mean" if kind == "buffer" else "idle"
    assert trial.diverged == f"the weights {name} are not finite at step 6"
    assert trial.results["val/loss"][0] == trial.rows[0, "val/loss"]


def test_a_buffer_that_is_infinite_by_design_is_no_divergence(tmp_path: Path):
    class Masked(Slope):
        def __init__(self) -> None:
            super().__init__()
            mask = torch.full((3, 3), -math.inf).triu(1)
            self.register_buffer("mask", mask)
            self.register_buffer("mean", torch.zeros(2))

    class Breaking(Masked):
        @torch.no_grad()
        def after_step(self, output: Output) -> None:
            super().after_step(output)
            if self.steps == 4:
                self.mean[1] = math.nan

    trial = trial_of(tmp_path / "well")
    training.train(trial, Masked(), Line())
    assert not trial.diverged
    resumed = trial_of(tmp_path / "well", steps=14)
    training.train(resumed, Masked(), Line())
    assert not resumed.diverged
    further = trial_of(tmp_path / "further")
    training.train(
        further, Slope(), Line(), second_phase=training.SecondPhase(lambda _: Masked(), 2)
    )
    assert not further.diverged
    broken = trial_of(tmp_path / "broken")
    training.train(broken, Breaking(), Line())
    assert broken.diverged == "the weights mean are not finite at step 6"


@pytest.mark.parametrize("accumulate", [1, 2])
def test_after_step_gets_no_graph_and_no_prediction(tmp_path: Path, accumulate: int):
    class Curious(Slope):
        def after_step(self, output: Output) -> None:
            super().after_step(output)
            assert output.prediction.numel() == 0
            assert not output.prediction.requires_grad
            assert not output.aux_loss.requires_grad

        def forward(self, x: Tensor, keep: Tensor) -> Output:
            return super().forward(x, keep)._replace(aux_loss=self.linear.weight.sum() * 0)

    model = Curious()
    training.train(trial_of(tmp_path, accumulate=accumulate), model, Line())
    assert model.steps > 0


def test_what_breaks_in_further_training_is_divergence(tmp_path: Path):
    trial = trial_of(tmp_path)
    more = training.SecondPhase(lambda model: model, 4)
    training.train(trial, Slope(), Poisoned(14), second_phase=more)
    assert trial.diverged == "the gradient norm is nan at step 14"


class Spiking(Line):
    """Y = 3 x, and another held-out set, whose losses are set."""

    def __init__(self, *losses: float) -> None:
        super().__init__()
        self.losses = list(losses)

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        if prediction.requires_grad:
            return super().loss(prediction, batch)
        return torch.tensor(self.losses.pop(0))


def test_a_trial_that_came_back_is_judged_by_what_it_reached(tmp_path: Path):
    trial = trial_of(tmp_path)
    training.train(trial, Slope(), Spiking(1.864, 274.0, 3.0, 9.0, 1.124))
    assert trial.diverged is None
    assert trial.results["val/loss"][0] == pytest.approx(1.124)
    assert trial.notes == [
        "spiked: held-out loss rose to 274 at step 3 (started at 1.864) and came back to 1.124"
    ]


def test_a_trial_that_never_rose_has_no_note(tmp_path: Path):
    trial = trial_of(tmp_path)
    training.train(trial, Slope(), Spiking(2.0, 1.5, 1.0, 1.2, 1.1))
    assert trial.notes == []
    # Memorised: the held-out loss rises to the end and does not recover.
    risen = trial_of(tmp_path / "b")
    training.train(risen, Slope(), Spiking(2.0, 1.5, 2.5, 2.6, 2.7))
    assert risen.notes == []


def test_the_spike_is_told_after_a_resume_too(tmp_path: Path):
    stopped = trial_of(tmp_path)
    stopped.stop_at = 7
    with pytest.raises(InterruptedError):
        training.train(stopped, Slope(), Spiking(1.0, 9.0, 3.0))
    resumed = trial_of(tmp_path)
    training.train(resumed, Slope(), Spiking(3.0, 2.0, 0.5))
    assert resumed.resume_steps == [5]
    assert "rose to 9 at step 3" in resumed.notes[0]


def test_what_learns_its_data_by_heart_has_not_diverged(tmp_path: Path):
    class Other(Line):
        def batch(self, step: int) -> Batch:
            batch = super().batch(0)
            return batch if step == -1 else batch._replace(target=-batch.target)

    trial = trial_of(tmp_path, steps=60)
    training.train(trial, Slope(), Other())
    assert trial.diverged is None
    assert trial.values["val/loss"] > trial.rows[0, "val/loss"]


def test_a_loss_that_does_not_fall_is_divergence(tmp_path: Path):
    class Wrong(Line):
        def batch(self, step: int) -> Batch:
            batch = super().batch(step)
            return batch if step == -1 else batch._replace(target=batch.target * -(2.0**step))

    trial = trial_of(tmp_path)
    training.train(trial, Slope(), Wrong())
    assert trial.diverged is not None
    assert "not below the first" in trial.diverged
    assert trial.results["val/loss"][0] == trial.rows[0, "val/loss"]


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("constant", 1, 0.5),
        ("constant", 2, 1.0),
        ("constant", 12, 1.0),
        ("linear", 7, 0.1 + 0.9 * 0.5),
        ("cosine", 7, 0.1 + 0.9 * 0.5),
        ("cosine", 12, 0.1),
        ("linear", 12, 0.1),
    ],
)
def test_the_learning_rate(schedule: str, step: int, expected: float):
    config = replace(CONFIG, lr=1.0, schedule=Schedule(schedule))
    assert optimizer.learning_rate(config, step) == pytest.approx(expected)


def test_a_batch_in_parts_takes_the_same_step(tmp_path: Path):
    def weights(accumulate: int) -> torch.Tensor:
        trial = trial_of(tmp_path / str(accumulate), accumulate=accumulate)
        model = Slope().eval()
        model.dropout.p = 0.0
        training.train(trial, model, Line())
        return model.linear.weight

    torch.testing.assert_close(weights(2), weights(1))
    torch.testing.assert_close(weights(4), weights(1))


def test_spikes_are_counted_against_what_came_before():
    calm = [1.0 + 0.01 * (-1) ** i for i in range(100)]
    assert training.spike_score(calm) == 0
    assert training.spike_score([*calm, 3.0, *calm[:99]]) == 1 / (200 - 32)
    assert training.spike_score([*calm, math.nan]) > 0
    assert training.spike_score([1.0, 9.0]) == 0  # too few steps to know the usual value
    assert training.spike_score([0.0] * 100) == 0
    assert training.spike_score([]) == 0
    assert training.spike_score([1.0, math.nan]) == 1
    assert training.spike_score([1.0] * 20 + [math.inf]) == 1
    assert training.spike_score([1.0] * 42 + [math.nan]) == 1 / 11


def test_weight_decay_spares_gains_biases_and_embeddings():
    model = nn.ModuleDict({"e": nn.Embedding(3, 2), "l": nn.Linear(2, 2), "n": nn.LayerNorm(2)})
    decayed, spared = optimizer.adamw(model, CONFIG).param_groups
    assert [p.shape for p in decayed["params"]] == [(2, 2)]
    assert len(spared["params"]) == 4
    assert spared["weight_decay"] == 0


def test_evaluation_weighs_by_kept_positions_and_leaves_the_mode():
    class Uneven(Line):
        def evaluation(self) -> Iterator[Batch]:
            for n_kept, target in [(1, 1.0), (3, 5.0)]:
                keep = torch.zeros(4, 1, dtype=torch.bool)
                keep[:n_kept] = True
                yield Batch((torch.zeros(4, 1, 1),), torch.full((4, 1, 1), target), keep)

        def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
            return (prediction - batch.target)[batch.keep].square().mean()

    model = Slope().train()
    values = training.evaluate(model, Uneven(), [], torch.device("cpu"))
    assert values["val/loss"] == pytest.approx((1 * 1 + 3 * 25) / 4)
    assert model.training


def test_autocast_is_of_forward_and_loss_of_training_steps_alone(tmp_path: Path):
    states: dict[str, set[tuple[bool, torch.dtype]]] = {}

    def note(what: str, tensor: Tensor) -> None:
        state = (torch.is_autocast_enabled("cpu"), tensor.dtype)
        states.setdefault(what, set()).add(state)

    class Watched(Slope):
        def forward(self, x: Tensor, keep: Tensor) -> Output:
            output = super().forward(x, keep)
            note("training" if self.training else "evaluation", output.prediction)
            return output

    class WatchedLine(Line):
        def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
            if prediction.requires_grad:
                note("loss", prediction)
            return super().loss(prediction, batch)

    class Probe:
        def update(self, batch: Batch, output: Output) -> None:  # noqa: ARG002
            note("probe", output.prediction)

        def metrics(self) -> dict[str, float]:
            return {}

    def gradients(model: nn.Module) -> dict[str, float]:
        for weights in model.parameters():
            assert weights.grad is not None
            note("watch", weights.grad)
        return {}

    model = Watched()
    model.linear.weight.register_hook(lambda gradient: note("backward", gradient))
    trial = trial_of(tmp_path, autocast="bfloat16", accumulate=2)
    training.train(trial, model, WatchedLine(), probes=[Probe], step_probes=[gradients])
    inside, outside = {(True, torch.bfloat16)}, {(False, torch.float32)}
    assert states == {
        **dict.fromkeys(("training", "loss"), inside),
        **dict.fromkeys(("evaluation", "probe", "backward", "watch"), outside),
    }
    assert not torch.is_autocast_enabled("cpu")


def test_autocast_follows_the_weights_from_step_to_step(tmp_path: Path):
    rounded, plain = trial_of(tmp_path / "a", autocast="bfloat16"), trial_of(tmp_path / "b")
    for trial in (rounded, plain):
        model = Slope()
        model.dropout.p = 0.0  # which draws other numbers in bfloat16
        training.train(trial, model, Line())
    losses = [[t.rows[step, "train/loss"] for step in range(1, 13)] for t in (rounded, plain)]
    assert losses[0] != losses[1]
    # bfloat16 keeps 8 bits: a prediction is off by 2^-8 of its size or so.
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_steps_go_through_the_compiled_model_and_evaluations_through_the_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    modes = []

    def compiled(model: nn.Module):
        def forward(*inputs: Tensor, keep: Tensor) -> Output:
            modes.append(model.training)
            return model(*inputs, keep=keep)

        return forward

    monkeypatch.setattr(torch, "compile", compiled)
    training.train(trial_of(tmp_path, compile=True), Slope(), Line())
    assert modes == [True] * 12
