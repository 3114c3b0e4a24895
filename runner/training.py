"""The one training loop: any model, any task, any probe.

The loop asks five things of the science, and nothing else: a task gives batches as a pure function
of the step, held-out batches, and a loss; a model returns an output with a `prediction` and an
`aux_loss` that is optimised and never reported as loss; `after_step` lets it update what gradients
do not; a probe reads held-out batches and outputs and returns scalars; a watch looks at the model
in every step, when its gradients are there.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from runner import checkpoint
from runner.config import Schedule, Training

LAST_EVALUATIONS = 3


class Batch(Protocol):
    """What a task hands over; see `experiments.tasks.batch`."""

    @property
    def inputs(self) -> tuple[Tensor, ...]: ...
    @property
    def keep(self) -> Tensor: ...
    def to(self, device: torch.device) -> "Batch": ...


class Task(Protocol):
    """Data and loss; `batch` is a pure function of the step, so that data have no state."""

    @property
    def unit(self) -> str: ...
    def batch(self, step: int) -> Any: ...
    def evaluation(self) -> Iterator[Any]: ...
    def loss(self, prediction: Tensor, batch: Any) -> Tensor: ...


class Output(Protocol):
    """What a model returns."""

    @property
    def prediction(self) -> Tensor: ...
    @property
    def aux_loss(self) -> Tensor: ...


class Probe(Protocol):
    """A streaming measurement on held-out data."""

    def update(self, batch: Any, output: Any) -> None: ...
    def metrics(self) -> dict[str, float]: ...


class Trial(Protocol):
    """The part of `runner.trial.Trial` that the loop uses."""

    config: Any
    device: torch.device
    checkpoints: Path
    stopping: bool
    deferring: bool

    def log(self, values: dict[str, float], step: int) -> None: ...
    def record(self, values: dict[str, float], unit: str = "") -> None: ...
    def progress(self, step: int, steps: int, loss: float) -> None: ...
    def resume(self, step: int) -> None: ...
    def flush(self) -> None: ...
    def diverge(self, reason: str) -> None: ...
    @property
    def diverged(self) -> str | None: ...


class Stopped(BaseException):
    """A trial was asked to end (SIGTERM); what it has done is in its checkpoint."""


Watch = Callable[[nn.Module], Mapping[str, float]]
"""Called between backward and clipping of every step; it must be cheap, and change nothing."""


@dataclass
class Loop:
    """What the loop itself must remember over a kill; all of it goes into a checkpoint."""

    losses: list[float]
    step_seconds: list[float]
    curves: dict[str, list[float]]


@dataclass(frozen=True)
class Further:
    """What follows a training: the model is changed, and trained for `steps` more.

    They have a new optimizer and the last learning rate. An arm that changes nothing, and trains as
    long, is the control of one that does.
    """

    change: Callable[[nn.Module], nn.Module]
    steps: int


def train(
    trial: Trial,
    model: nn.Module,
    task: Task,
    *,
    probes: Sequence[Callable[[], Probe]] = (),
    watch: Sequence[Watch] = (),
    further: Further | None = None,
) -> dict[str, list[float]]:
    """Train `model` on `task`, log curves, record `val/loss` and times; goes on from a checkpoint.

    A loss that is not finite ends the training. A trial whose last evaluations are on average not
    below the first has diverged; its `val/loss` is clipped to the first evaluation, and it is kept
    and counted. What is `further` to be done is short, and is done again after a kill: checkpoints
    behind the training are the trial's result, and nothing goes on from them.

    Returns:
        The training scalars by name, a value for each step from the first, whatever `log_every` is
        and wherever the training went on; that of a loss that is not finite is among them.
    """
    config: Training = trial.config.training
    optimizer = adamw(model, config)
    state = checkpoint.load(trial.checkpoints, model, optimizer, last=config.steps)
    start = state.pop("step") if state else 0
    loop = Loop(**state) if state else Loop([], [], {})
    trial.resume(start)
    trial.deferring = True  # a wish to stop now waits for the end of a step
    if not state:
        loop.losses.append(look(trial, model, task, probes, step=0))
    advance(trial, model, task, optimizer, loop, probes, watch, range(start + 1, config.steps + 1))
    if further and not trial.diverged:
        model = further.change(model)
        more = range(config.steps + 1, config.steps + 1 + further.steps)
        anew = adamw(model, config)
        advance(trial, model, task, anew, loop, probes, watch, more, resumable=False)
    trial.deferring = False
    conclude(trial, task, loop)
    return loop.curves


def advance(
    trial: Trial,
    model: nn.Module,
    task: Task,
    optimizer: torch.optim.Optimizer,
    loop: Loop,
    probes: Sequence[Callable[[], Probe]],
    watch: Sequence[Watch],
    steps: range,
    *,
    resumable: bool = True,
) -> None:
    """Take these steps; look, log and keep checkpoints on the way and after the last.

    What is not `resumable` has only the last, lest it crowd out the one that is gone on from.
    """
    config: Training = trial.config.training
    for step in steps:
        began = time.perf_counter()
        values = one_step(trial, model, task, optimizer, step, watch)
        loop.step_seconds.append(time.perf_counter() - began)
        for name, value in values.items():
            loop.curves.setdefault(name, []).append(value)
        last = step == steps[-1]
        if not math.isfinite(values["train/loss"]):
            trial.diverge(f"the training loss is {values['train/loss']} at step {step}")
            break
        if step % config.log_every == 0 or last:
            trial.log(values, step)
            trial.progress(step, steps[-1], values["train/loss"])
        if step % config.eval_every == 0 or last:
            loop.losses.append(look(trial, model, task, probes, step=step))
        if last or (resumable and (step % config.checkpoint_every == 0 or trial.stopping)):
            trial.flush()
            checkpoint.save(trial.checkpoints, step, model, optimizer, vars(loop))
        if trial.stopping and not last:
            raise Stopped(f"asked to stop, goes on from step {step}")


def one_step(
    trial: Trial,
    model: nn.Module,
    task: Task,
    optimizer: torch.optim.Optimizer,
    step: int,
    watch: Sequence[Watch],
) -> dict[str, float]:
    """One optimizer step and its values, of before the step.

    Reading them waits for the device, so that the time of a step is honest.
    """
    config: Training = trial.config.training
    lr = learning_rate(config, step)
    for group in optimizer.param_groups:
        group["lr"] = lr
    batch = task.batch(step).to(trial.device)
    output = model(*batch.inputs, keep=batch.keep)
    loss = task.loss(output.prediction, batch)
    optimizer.zero_grad()
    (loss + output.aux_loss).backward()
    seen = {name: value for look_at in watch for name, value in look_at(model).items()}
    bound = math.inf if config.clip is None else config.clip
    norm = nn.utils.clip_grad_norm_(model.parameters(), bound)
    optimizer.step()
    model.after_step(output)  # type: ignore[operator]
    values = {"train/loss": loss, "train/aux_loss": output.aux_loss, "train/grad_norm": norm}
    return {name: value.item() for name, value in values.items()} | {"train/lr": lr} | seen


def adamw(model: nn.Module, config: Training) -> torch.optim.AdamW:
    """Fused AdamW (Loshchilov and Hutter 2019); gains, biases and embeddings are not decayed."""
    embeddings = {
        id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()
    }
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, p in model.named_parameters():
        spare = p.ndim < 2 or id(p) in embeddings or name.endswith("bias")
        (spared if spare else decayed).append(p)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), fused=True)


def learning_rate(config: Training, step: int) -> float:
    """The rate of a step counted from 1.

    Linear warm-up to the peak, then the schedule down to `final_lr_share` of it, where it stays for
    steps beyond the last.
    """
    if step <= config.warmup_steps:
        return config.lr * step / config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps))
    falling = {
        Schedule.constant: 1.0,
        Schedule.linear: 1 - progress,
        Schedule.cosine: (1 + math.cos(math.pi * progress)) / 2,
    }[config.schedule]
    floor = 1.0 if config.schedule is Schedule.constant else config.final_lr_share
    return config.lr * (floor + (1 - floor) * falling)


def look(
    trial: Trial, model: nn.Module, task: Task, probes: Sequence[Callable[[], Probe]], *, step: int
) -> float:
    """Evaluate on held-out data with fresh probes, log the values, return the loss."""
    values = evaluate(model, task, [make() for make in probes], trial.device)
    trial.log(values, step)
    return values["val/loss"]


@torch.no_grad()
def evaluate(
    model: nn.Module, task: Task, probes: Sequence[Probe], device: torch.device
) -> dict[str, float]:
    """`val/loss`, the mean over kept positions of held-out data, and what probes see; eval mode."""
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    for held_out in task.evaluation():
        batch = held_out.to(device)
        output = model(*batch.inputs, keep=batch.keep)
        n = int(batch.keep.sum())
        total += task.loss(output.prediction, batch).item() * n
        count += n
        for probe in probes:
            probe.update(batch, output)
    model.train(was_training)
    values = {"val/loss": total / count}
    for probe in probes:
        values |= probe.metrics()
    return values


def conclude(trial: Trial, task: Task, loop: Loop) -> None:
    """Judge divergence, record the final loss and the times."""
    first, final = loop.losses[0], loop.losses[-1]
    recent = statistics.fmean(loop.losses[1:][-LAST_EVALUATIONS:] or [math.inf])
    if not recent < first:
        trial.diverge(
            f"the last evaluations, {recent:.4g} on average, are not below the first, {first:.4g}"
        )
    trial.record({"val/loss": first if trial.diverged else final}, task.unit)
    trial.record({"time/step": statistics.median(loop.step_seconds)}, "s")
