"""The one training loop: any model, any task, any probe.

The loop asks four things of the science, and nothing else (`runner.trial.protocols`): a task gives
batches as a pure function of the step, held-out batches, and a loss; a model returns an output with
a `prediction` and an `aux_loss` that is optimised and never reported as loss; its `after_step` lets
it update what gradients do not; a probe reads held-out batches and outputs and returns scalars.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runner.config import Training
from runner.device import autocast
from runner.trial import checkpoint
from runner.trial.optimizer import adamw, learning_rate
from runner.trial.protocols import ProbeProtocol, TaskProtocol, TrialProtocol

LAST_STEPS = 5
SPIKE_WINDOW, SPIKE_LEAST, SPIKE_DEVIATIONS = 1000, 32, 7.0


class TrialStopped(BaseException):
    """A trial was asked to end (SIGTERM); what it has done is in its checkpoint."""


StepProbe = Callable[[nn.Module], Mapping[str, float]]
"""Called between backward and clipping of every step; it must be cheap, and change nothing."""


@dataclass
class LoopState:
    """What the loop itself must remember over a kill; all of it goes into a checkpoint.

    Attributes:
        losses: the held-out loss of each evaluation, from the one before the first step on.
        step_seconds: how long each step took.
        curves: the training scalars of each step, by name.
        evaluated: the steps after which the evaluations were.
    """

    losses: list[float]
    step_seconds: list[float]
    curves: dict[str, list[float]]
    evaluated: list[int] = field(default_factory=list)

    @staticmethod
    def is_valid(state: object) -> bool:
        """Whether a checkpoint holds all this, and nothing else."""
        if not isinstance(state, dict) or {f.name for f in fields(LoopState)} != set(state):
            return False
        curves = state["curves"]
        lists = [value for name, value in state.items() if name != "curves"]
        return isinstance(curves, dict) and all(
            isinstance(values, list) and all(isinstance(value, int | float) for value in values)
            for values in [*lists, *curves.values()]
        )


@dataclass(frozen=True)
class SecondPhase:
    """What follows a training: the model is changed, and trained for `steps` more.

    They have a new optimizer and the last learning rate. An arm that changes nothing, and trains as
    long, is the control of one that does.
    """

    convert_model: Callable[[nn.Module], nn.Module]
    steps: int


@dataclass(frozen=True)
class TrainingSetup:
    """All that a training is made of but the model and its optimizer."""

    trial: TrialProtocol
    task: TaskProtocol
    probes: Sequence[Callable[[], ProbeProtocol]]
    step_probes: Sequence[StepProbe]
    loop_state: LoopState
    unchecked_buffers: frozenset[str] = frozenset()  # buffers that are not finite by design

    @property
    def config(self) -> Training:
        """How to train."""
        config: Training = self.trial.config.training
        return config


def train(
    trial: TrialProtocol,
    model: nn.Module,
    task: TaskProtocol,
    *,
    probes: Sequence[Callable[[], ProbeProtocol]] = (),
    step_probes: Sequence[StepProbe] = (),
    second_phase: SecondPhase | None = None,
) -> dict[str, list[float]]:
    """Train `model` on `task`, log curves, record `val/loss` and times; resume from a checkpoint.

    A trial has diverged in one of two ways:

    - A training loss, auxiliary loss, gradient norm, held-out loss or weight is not finite. This
      ends the training at once. Weights are checked at evaluations, and so are the buffers that
      were finite in the new model: a causal mask of -inf is no sign of divergence.
    - The last held-out loss is not below the first, and the training loss has not fallen either.
      A model that learns its data by heart has not diverged.

    A trial is judged by what it reached. One whose held-out loss rose above its start and came back
    is done, and its status tells of the rise. A diverged trial is kept and counted; its `val/loss`
    is the first one, and its other metrics are what `runner.metric_names` declares.

    What is `second_phase` to be done is short, and is done again after a kill: checkpoints behind the
    training are the trial's result, and no training resumes from them.

    Returns:
        The training scalars by name, a value for each step from the first, whatever `log_every` is
        and wherever the training resumed. The values of a step that was not finite are among them.
        Empty where the model had no finite loss before the first step.
    """
    config: Training = trial.config.training
    optimizer = adamw(model, config)
    unchecked = infinite_buffers(model)
    state = checkpoint.load_newest(
        trial.checkpoints,
        model,
        optimizer,
        last_step=config.steps,
        note=trial.note,
        is_valid=LoopState.is_valid,
    )
    start = state.pop("step") if state else 0
    loop = LoopState(**state) if state else LoopState([], [], {})
    course = TrainingSetup(trial, task, probes, step_probes, loop, unchecked)
    trial.open_log(start)
    trial.defer_stop = True  # a wish to stop now waits for the end of a step
    if not state:
        evaluate_and_log(course, model, step=0)
    if not trial.diverged:
        advance(course, model, optimizer, range(start + 1, config.steps + 1))
    if second_phase and not trial.diverged:
        model = second_phase.convert_model(model)
        course = replace(course, unchecked_buffers=unchecked | infinite_buffers(model))
        more = range(config.steps + 1, config.steps + 1 + second_phase.steps)
        advance(course, model, adamw(model, config), more, resumable=False)
    trial.defer_stop = False
    if trial.stop_requested:
        raise TrialStopped("asked to stop after the training")
    record_final_values(course)
    return course.loop_state.curves


def advance(
    course: TrainingSetup,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: range,
    *,
    resumable: bool = True,
) -> None:
    """Take these steps; look, log and keep checkpoints on the way and after the last.

    What is not `resumable` has only the last, lest it crowd out the one to resume from. A trial
    that diverges ends here, without a checkpoint of its broken weights.
    """
    trial, config, loop = course.trial, course.config, course.loop_state
    forward = torch.compile(model) if config.compile else model
    for step in steps:
        began = time.perf_counter()
        values = train_step(course, model, forward, optimizer, step)
        loop.step_seconds.append(time.perf_counter() - began)
        for name, value in values.items():
            loop.curves.setdefault(name, []).append(value)
        last = step == steps[-1]
        if reason := not_finite(values):
            trial.diverge(f"{reason} at step {step}")
            break
        if step % config.log_every == 0 or last:
            trial.log(values, step)
            trial.progress(step, steps[-1], values["train/loss"])
        if step % config.eval_every == 0 or last:
            evaluate_and_log(course, model, step=step)
        if trial.diverged:
            break
        if last or (resumable and (step % config.checkpoint_every == 0 or trial.stop_requested)):
            trial.flush()
            checkpoint.save(trial.checkpoints, step, model, optimizer, vars(loop))
        if trial.stop_requested:
            kept = step if resumable else config.steps
            raise TrialStopped(f"asked to stop, goes on from step {kept}")


def train_step(
    course: TrainingSetup,
    model: nn.Module,
    forward: Callable[..., Any],
    optimizer: torch.optim.Optimizer,
    step: int,
) -> dict[str, float]:
    """One optimizer step and its values, of before the step.

    With `accumulate` the batch is cut into parts, whose losses weigh as many positions as they
    keep; an auxiliary loss is then that of each part and not of the whole batch. What the model
    adapts after the step, it adapts once, to the outputs of all parts together. Of these, only what
    `strip_output` keeps stays in memory.
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
        outputs.append(strip_output(output))
    seen = {name: value for look_at in course.step_probes for name, value in look_at(model).items()}
    bound = math.inf if config.clip is None else config.clip
    norm = nn.utils.clip_grad_norm_(model.parameters(), bound)
    optimizer.step()
    model.after_step(join_outputs(outputs))  # type: ignore[operator]
    values = {"train/loss": loss, "train/aux_loss": aux_loss, "train/grad_norm": norm}
    return {name: value.item() for name, value in values.items()} | {"train/lr": lr} | seen


def strip_output(output: Any) -> Any:
    """Return an output without its graph and without rows of its prediction.

    `after_step` reads neither. Predictions are the largest tensors of a model with a vocabulary.
    """
    empty = output.prediction.new_empty((0, *output.prediction.shape[1:]))
    return detach_nested(
        output._replace(prediction=empty) if hasattr(output, "_replace") else output
    )


def detach_nested(value: Any) -> Any:
    """Return a tensor, or the tensors in nested tuples, without their graph."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, tuple):
        fields = [detach_nested(item) for item in value]
        return type(value)(*fields) if hasattr(value, "_fields") else tuple(fields)
    return value


@torch.no_grad()
def join_outputs(parts: Sequence[Any]) -> Any:
    """Join the outputs of a batch's parts to that of the batch: tensors along their first axis.

    Scalars become their mean; anything that holds no tensor is taken from the first part.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Tensor):
        return torch.cat(list(parts)) if first.ndim else torch.stack(list(parts)).mean()
    if isinstance(first, tuple):
        fields = [join_outputs(of_parts) for of_parts in zip(*parts, strict=True)]
        return type(first)(*fields) if hasattr(first, "_fields") else tuple(fields)
    return first


CHECKED = {
    "train/loss": "the training loss",
    "train/aux_loss": "the auxiliary loss",
    "train/grad_norm": "the gradient norm",
}
"""The values of a step that must be finite, in words."""


def not_finite(values: Mapping[str, float]) -> str | None:
    """Say which value of a step is not finite, if one is."""
    for name, words in CHECKED.items():
        if not math.isfinite(values[name]):
            return f"{words} is {values[name]}"
    return None


def broken_weight(model: nn.Module, unchecked: frozenset[str] = frozenset()) -> str | None:
    """Name the first parameter or buffer that is not finite, if one is.

    Buffers whose names are in `unchecked_buffers` do not count.
    """
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    checked = {name: x for name, x in tensors.items() if name not in unchecked}
    return next(iter(not_finite_among(checked)), None)


def infinite_buffers(model: nn.Module) -> frozenset[str]:
    """Name the buffers that are not finite, such as a causal mask of -inf."""
    return frozenset(not_finite_among(dict(model.named_buffers())))


@torch.no_grad()
def not_finite_among(tensors: Mapping[str, Tensor]) -> list[str]:
    """Name the tensors that are not finite, in order, with one transfer from the device."""
    named = {name: x for name, x in tensors.items() if x.is_floating_point() or x.is_complex()}
    if not named:
        return []
    whole = torch.stack([x.isfinite().all() for x in named.values()]).tolist()
    return [name for name, good in zip(named, whole, strict=True) if not good]


def evaluate_and_log(course: TrainingSetup, model: nn.Module, *, step: int) -> None:
    """Evaluate on held-out data with fresh probes, log the values, remember the loss.

    The trial has diverged if the loss or a weight is not finite.
    """
    probes = [make() for make in course.probes]
    values = evaluate(model, course.task, probes, course.trial.device)
    course.trial.log(values, step)
    course.loop_state.losses.append(values["val/loss"])
    course.loop_state.evaluated.append(step)
    if not math.isfinite(values["val/loss"]):
        course.trial.diverge(f"the held-out loss is {values['val/loss']} at step {step}")
    elif name := broken_weight(model, course.unchecked_buffers):
        course.trial.diverge(f"the weights {name} are not finite at step {step}")


@torch.no_grad()
def evaluate(
    model: nn.Module, task: TaskProtocol, probes: Sequence[ProbeProtocol], device: torch.device
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


def record_final_values(course: TrainingSetup) -> None:
    """Judge divergence, record the final loss, spikes and times."""
    trial, losses, curves = course.trial, course.loop_state.losses, course.loop_state.curves
    trained = curves.get("train/loss", [])
    if not trial.diverged and not losses[-1] < losses[0] and not has_fallen(trained):
        trial.diverge(
            f"the last held-out loss, {losses[-1]:.4g}, is not below the first, {losses[0]:.4g}, "
            "and the training loss has not fallen"
        )
    if not trial.diverged and (story := rise(losses, course.loop_state.evaluated)):
        trial.note(story)
    trial.record({"val/loss": losses[0] if trial.diverged else losses[-1]}, course.task.unit)
    trial.record({"train/spike_score": spike_score(trained)}, "1")
    if course.loop_state.step_seconds:
        seconds = statistics.median(course.loop_state.step_seconds)
        # Tokens are those that the loss is of: the kept ones of a batch, padding excluded.
        tokens = int(course.task.batch(0).keep.sum())
        trial.record({"time/step": seconds}, "s")
        trial.record({"time/throughput": tokens / seconds}, "tokens/s")


def has_fallen(losses: Sequence[float]) -> bool:
    """Whether the last training losses are on average below the first."""
    return mean(losses[-LAST_STEPS:]) < losses[0]


def rise(losses: Sequence[float], steps: Sequence[int]) -> str | None:
    """Tell of held-out losses that rose above the first and came back more than half of the way."""
    peak = max(losses)
    if not (peak > losses[0] and losses[-1] < (losses[0] + peak) / 2):
        return None
    at = steps[losses.index(peak)]
    return (
        f"spiked: held-out loss rose to {peak:.4g} at step {at} (started at {losses[0]:.4g}) "
        f"and came back to {losses[-1]:.4g}"
    )


def mean(values: Sequence[float]) -> float:
    """The mean; infinite where the sum is, on which `statistics.fmean` fails."""
    try:
        return statistics.fmean(values)
    except OverflowError:
        return math.inf


def spike_score(losses: Sequence[float]) -> float:
    """The share of values that are over seven deviations from the mean of those before.

    The mean and deviation are of the last 1000 values (as in OLMo 2, 2024), of which there must be
    32 before a value is judged. So the first 32 steps cannot spike, and the window of a run
    of fewer than 1000 steps is all that came before. A loss that is not finite is a spike wherever
    it stands.
    """
    values = np.asarray(losses, dtype=float)
    finite = np.isfinite(values)
    judged = [i for i in range(len(values)) if i >= SPIKE_LEAST or not finite[i]]
    spikes = 0
    for index in judged:
        window = slice(max(0, index - SPIKE_WINDOW), index)
        before = values[window][finite[window]]
        spikes += not finite[index] or not is_within_spike_bound(values[index], before)
    return spikes / max(1, len(judged))


def is_within_spike_bound(value: float, before: np.ndarray[Any, Any]) -> bool:
    """Whether a value is within seven deviations of the mean of those before, if there are any."""
    if not before.size:
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(abs(value - before.mean()) <= SPIKE_DEVIATIONS * before.std())
