"""The one training loop: any model, any task, any probe.

The loop asks four things of the science, and nothing else (`runner.protocols`): a task gives
batches as a pure function of the step, held-out batches, and a loss; a model returns an output with
a `prediction` and an `aux_loss` that is optimised and never reported as loss; its `after_step` lets
it update what gradients do not; a probe reads held-out batches and outputs and returns scalars.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from runner import checkpoint
from runner.config import Training
from runner.device import autocast
from runner.optimizer import adamw, learning_rate
from runner.protocols import Probe, Task, Trial

LAST_EVALUATIONS, LAST_STEPS = 3, 5
SPIKE_WINDOW, SPIKE_LEAST, SPIKE_DEVIATIONS = 1000, 32, 7.0


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


@dataclass(frozen=True)
class Course:
    """All that a training is made of but the model and its optimizer."""

    trial: Trial
    task: Task
    probes: Sequence[Callable[[], Probe]]
    watch: Sequence[Watch]
    loop: Loop

    @property
    def config(self) -> Training:
        """How to train."""
        config: Training = self.trial.config.training
        return config


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

    A loss that is not finite ends the training. A trial has diverged, too, whose last evaluations
    are on average not below the first and whose training loss has not fallen either (a model that
    learns its data by heart has not). Its `val/loss` is clipped to the first evaluation, and it is
    kept and counted. What is `further` to be done is short, and is done again after a kill:
    checkpoints behind the training are the trial's result, and nothing goes on from them.

    Returns:
        The training scalars by name, a value for each step from the first, whatever `log_every` is
        and wherever the training went on; that of a loss that is not finite is among them.
    """
    config: Training = trial.config.training
    optimizer = adamw(model, config)
    state = checkpoint.load(trial.checkpoints, model, optimizer, last=config.steps)
    start = state.pop("step") if state else 0
    course = Course(trial, task, probes, watch, Loop(**state) if state else Loop([], [], {}))
    trial.resume(start)
    trial.deferring = True  # a wish to stop now waits for the end of a step
    if not state:
        look(course, model, step=0)
    advance(course, model, optimizer, range(start + 1, config.steps + 1))
    if further and not trial.diverged:
        model = further.change(model)
        more = range(config.steps + 1, config.steps + 1 + further.steps)
        advance(course, model, adamw(model, config), more, resumable=False)
    trial.deferring = False
    if trial.stopping:
        raise Stopped("asked to stop after the training")
    conclude(course)
    return course.loop.curves


def advance(
    course: Course,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: range,
    *,
    resumable: bool = True,
) -> None:
    """Take these steps; look, log and keep checkpoints on the way and after the last.

    What is not `resumable` has only the last, lest it crowd out the one that is gone on from.
    """
    trial, config, loop = course.trial, course.config, course.loop
    forward = torch.compile(model) if config.compile else model
    for step in steps:
        began = time.perf_counter()
        values = one_step(course, model, forward, optimizer, step)
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
            look(course, model, step=step)
        if last or (resumable and (step % config.checkpoint_every == 0 or trial.stopping)):
            trial.flush()
            checkpoint.save(trial.checkpoints, step, model, optimizer, vars(loop))
        if trial.stopping:
            kept = step if resumable else config.steps
            raise Stopped(f"asked to stop, goes on from step {kept}")


def one_step(
    course: Course,
    model: nn.Module,
    forward: Callable[..., Any],
    optimizer: torch.optim.Optimizer,
    step: int,
) -> dict[str, float]:
    """One optimizer step and its values, of before the step.

    With `accumulate` the batch is cut into parts, whose losses weigh as many positions as they
    keep; an auxiliary loss is then that of each part and not of the whole batch.
    Reading the values waits for the device, so that the time of a step is honest.
    """
    config = course.config
    lr = learning_rate(config, step)
    for group in optimizer.param_groups:
        group["lr"] = lr
    batch = course.task.batch(step).to(course.trial.device)
    optimizer.zero_grad()
    loss = aux_loss = torch.zeros((), device=course.trial.device)
    outputs = []
    for part in batch.split(config.accumulate) if config.accumulate > 1 else (batch,):
        share = 1.0 if part is batch else part.keep.sum() / batch.keep.sum()
        with autocast(course.trial.config.device, course.trial.device):
            output = forward(*part.inputs, keep=part.keep)
            part_loss = course.task.loss(output.prediction, part)
        (share * (part_loss + output.aux_loss)).backward()
        loss = loss + share * part_loss.detach()
        aux_loss = aux_loss + share * output.aux_loss.detach()
        outputs.append(output)
    seen = {name: value for look_at in course.watch for name, value in look_at(model).items()}
    bound = math.inf if config.clip is None else config.clip
    norm = nn.utils.clip_grad_norm_(model.parameters(), bound)
    optimizer.step()
    for output in outputs:
        model.after_step(output)  # type: ignore[operator]
    values = {"train/loss": loss, "train/aux_loss": aux_loss, "train/grad_norm": norm}
    return {name: value.item() for name, value in values.items()} | {"train/lr": lr} | seen


def look(course: Course, model: nn.Module, *, step: int) -> None:
    """Evaluate on held-out data with fresh probes, log the values, remember the loss."""
    probes = [make() for make in course.probes]
    values = evaluate(model, course.task, probes, course.trial.device)
    course.trial.log(values, step)
    course.loop.losses.append(values["val/loss"])


@torch.no_grad()
def evaluate(
    model: nn.Module, task: Task, probes: Sequence[Probe], device: torch.device
) -> dict[str, float]:
    """`val/loss`, the mean over kept positions of held-out data, and what probes see.

    In eval mode, and without `device.autocast`, which is of training steps alone.
    """
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


def conclude(course: Course) -> None:
    """Judge divergence, record the final loss, spikes and times."""
    trial, losses = course.trial, course.loop.losses
    recent = statistics.fmean(losses[1:][-LAST_EVALUATIONS:] or [math.inf])
    trained = course.loop.curves["train/loss"]
    if not recent < losses[0] and not statistics.fmean(trained[-LAST_STEPS:]) < trained[0]:
        trial.diverge(
            f"the last evaluations, {recent:.4g} on average, are not below the first, "
            f"{losses[0]:.4g}"
        )
    trial.record({"val/loss": losses[0] if trial.diverged else losses[-1]}, course.task.unit)
    trial.record({"train/spike_score": spike_score(course.loop.curves["train/loss"])}, "1")
    trial.record({"time/step": statistics.median(course.loop.step_seconds)}, "s")


def spike_score(losses: Sequence[float]) -> float:
    """The share of values that are over seven deviations from the mean of those before.

    The mean and deviation are of the last 1000 values (as in OLMo 2, 2024), of which there must be
    32 before a value is judged; a loss that is not finite is a spike.
    """
    values, spikes = np.asarray(losses, dtype=float), 0
    for index in range(SPIKE_LEAST, len(values)):
        before = values[max(0, index - SPIKE_WINDOW) : index]
        off = abs(values[index] - before.mean())
        spikes += not off <= SPIKE_DEVIATIONS * before.std()
    return spikes / max(1, len(values) - SPIKE_LEAST)
