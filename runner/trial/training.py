"""The only training loop of the project, for any model, task and probe.

The loop needs three things of an experiment (`runner.trial.protocols`):

- A task returns batches as a pure function of the step, held-out batches, and a loss.
- A model returns an output with a `prediction` and an `aux_loss`. The auxiliary loss is optimised,
  but is not part of the reported loss. The model's `after_step` updates state without gradients.
- A probe reads held-out batches and outputs, and returns scalars.
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
NATS_PER_BYTE = "val/nats_per_byte"
SPIKE_WINDOW, SPIKE_MIN_STEPS, SPIKE_DEVIATIONS = 1000, 32, 7.0


class TrialStopped(BaseException):
    """The trial was stopped on request (SIGTERM); a training has saved a checkpoint."""


StepProbe = Callable[[nn.Module], Mapping[str, float]]
"""A function that is called between backward and clipping of every step.

It returns scalars for the curves. It must be fast and must not change the model."""


@dataclass
class LoopState:
    """The state of the loop itself, which a checkpoint saves in addition to model and optimizer.

    Attributes:
        losses: the held-out loss of each evaluation; the first evaluation is before the first step.
        step_seconds: the wall-clock seconds of each step.
        curves: the training scalars by name, one value per step.
        evaluated: the number of finished steps at each evaluation.
        task_metrics: the task's other held-out metrics by name, one value per evaluation.
    """

    losses: list[float]
    step_seconds: list[float]
    curves: dict[str, list[float]]
    evaluated: list[int] = field(default_factory=list)
    task_metrics: dict[str, list[float]] = field(default_factory=dict)

    @staticmethod
    def is_valid(state: object) -> bool:
        """Return whether the state in a checkpoint has exactly these fields, with their types."""
        if not isinstance(state, dict) or {f.name for f in fields(LoopState)} != set(state):
            return False
        by_name = [state["curves"], state["task_metrics"]]
        if not all(isinstance(values, dict) for values in by_name):
            return False
        lists = [state["losses"], state["step_seconds"], state["evaluated"]]
        return all(
            isinstance(values, list) and all(isinstance(value, int | float) for value in values)
            for values in [*lists, *(each for values in by_name for each in values.values())]
        )


@dataclass(frozen=True)
class SecondPhase:
    """A second phase of training: convert the trained model, then train it for `steps` more.

    For example, multi-head attention becomes grouped-query attention. The phase has a new optimizer
    and the final learning rate of the schedule. Its control is an arm that trains as long without
    changing the model.
    """

    convert_model: Callable[[nn.Module], nn.Module]
    steps: int


@dataclass(frozen=True)
class TrainingSetup:
    """The parts of a training except for the model and its optimizer.

    `unchecked_buffers` names the buffers that are not finite by design, e.g. a causal mask of -inf.
    """

    trial: TrialProtocol
    task: TaskProtocol
    probes: Sequence[Callable[[], ProbeProtocol]]
    step_probes: Sequence[StepProbe]
    loop_state: LoopState
    unchecked_buffers: frozenset[str] = frozenset()

    @property
    def config(self) -> Training:
        """Return the arm's `training` options."""
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
    """Train `model` on `task`; log curves; record `val/loss`, the task's metrics and times.

    Divergence: a trial diverges in one of two cases.

    - A training loss, auxiliary loss, gradient norm, held-out loss or weight is not finite. This
      ends the training at once. Weights and buffers are checked at evaluations. Buffers that were
      not finite in the new model, such as a causal mask of -inf, are not checked.
    - At the end neither the held-out loss nor the training loss (mean of the last 5 steps) is below
      its first value. Overfitting is not divergence: there the training loss has fallen.

    A held-out loss that rises above its start and comes back is not divergence: the trial's status
    gets a note. A diverged trial counts in the report. Its `val/loss` is the first one. Each other
    metric has the diverged value that its declaration states (`runner.metric_names`).

    Checkpoints: one is saved every `checkpoint_every` steps, after the last step, and on SIGTERM.
    It holds the model, the optimizer, the states of torch's random generators, and `LoopState`.
    Batches are a pure function of the step, so the data need no state.

    Resuming: the training continues after the newest usable checkpoint, with the same values as
    without the interruption. Without a usable checkpoint it starts at step 1.

    Second phase: `second_phase` converts the trained model and trains it further. It is short, so
    it is not resumable: after a kill it starts again from the checkpoint of the last training step.
    Its only checkpoint is the final one, which is part of the trial's result.

    Args:
        trial: receives curves, results, notes and divergence.
        model: trained in place.
        task: the data and the loss.
        probes: make the probes of each evaluation.
        step_probes: measurements of every training step.
        second_phase: a conversion of the trained model with further steps.

    Returns:
        The training scalars by name, one value per step from the first step on, regardless of
        `log_every` and of resuming. A step that was not finite is included. Empty if the model had
        no finite loss before the first step.

    Raises:
        TrialStopped: SIGTERM has arrived; a checkpoint is saved.
    """
    config: Training = trial.config.training
    optimizer = adamw(model, config)
    # Before the checkpoint is loaded, whose buffers may have become non-finite in training.
    unchecked = non_finite_buffers(model)
    # Checkpoints after `config.steps` belong to the second phase, which is not resumable.
    state = checkpoint.load_newest(
        trial.checkpoints,
        model,
        optimizer,
        last_step=config.steps,
        note=trial.note,
        is_valid=LoopState.is_valid,
    )
    # Without a checkpoint the loop starts with empty curves.
    start = state.pop("step") if state else 0
    loop = LoopState(**state) if state else LoopState([], [], {})
    setup = TrainingSetup(trial, task, probes, step_probes, loop, unchecked)
    # Logged rows after the checkpoint are dropped: the repeated steps log them again.
    trial.open_log(start)
    if losses := loop.curves.get("train/loss"):
        trial.progress(start, config.steps, losses[-1])  # it resumes from there
    # From here on a stop request waits for the end of a step and its checkpoint.
    trial.defer_stop = True
    # The loss before the first step decides later whether the trial has diverged.
    if not state:
        evaluate_and_log(setup, model, step=0)
    if not trial.diverged:
        advance(setup, model, optimizer, range(start + 1, config.steps + 1))
    if second_phase and not trial.diverged:
        # The conversion may add buffers that are not finite by design.
        model = second_phase.convert_model(model)
        setup = replace(setup, unchecked_buffers=unchecked | non_finite_buffers(model))
        # A new optimizer: the moments of the old one belong to other parameters.
        extra_steps = range(config.steps + 1, config.steps + 1 + second_phase.steps)
        advance(setup, model, adamw(model, config), extra_steps, resumable=False)
    # Handle a stop request that no step has handled, e.g. because the trial diverged.
    trial.defer_stop = False
    if trial.stop_requested:
        raise TrialStopped("stopped on request after the training")
    record_final_values(setup)
    return setup.loop_state.curves


def advance(
    setup: TrainingSetup,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: range,
    *,
    resumable: bool = True,
) -> None:
    """Take these steps; evaluate, log and save checkpoints between them and after the last.

    With `resumable=False` only the final checkpoint is saved, so the one to resume from is kept. A
    diverged trial ends without a checkpoint of its weights.

    Raises:
        TrialStopped: SIGTERM has arrived. With `resumable`, a checkpoint of this step is saved.
    """
    trial, config, loop = setup.trial, setup.config, setup.loop_state
    # Only training steps use the compiled model. Evaluations and probes use the model itself.
    forward = torch.compile(model) if config.compile else model
    for step in steps:
        # `train_step` reads values from the device, so the time covers all work of the step.
        start_time = time.perf_counter()
        values = train_step(setup, model, forward, optimizer, step)
        loop.step_seconds.append(time.perf_counter() - start_time)
        # Curves have every step, so that spikes between two logged steps count.
        for name, value in values.items():
            loop.curves.setdefault(name, []).append(value)
        # A step that is not finite ends the training: later steps would train broken weights.
        is_last = step == steps[-1]
        if reason := describe_non_finite_value(values):
            trial.diverge(f"{reason} at step {step}")
            break
        # The last step is always logged and evaluated, for the final values.
        if step % config.log_every == 0 or is_last:
            trial.log(values, step)
            trial.progress(step, steps[-1], values["train/loss"])
        if step % config.eval_every == 0 or is_last:
            evaluate_and_log(setup, model, step=step)
        # The evaluation may have found a loss or a weight that is not finite.
        if trial.diverged:
            break
        # Flush first: a checkpoint holds a digest of the curves up to its step.
        if is_last or (resumable and (step % config.checkpoint_every == 0 or trial.stop_requested)):
            trial.flush()
            checkpoint.save(trial.checkpoints, step, model, optimizer, vars(loop))
        # The second phase resumes from the checkpoint of the last training step.
        if trial.stop_requested:
            resume_step = step if resumable else config.steps
            raise TrialStopped(f"stopped on request, resumes from step {resume_step}")


def train_step(
    setup: TrainingSetup,
    model: nn.Module,
    forward: Callable[..., Any],
    optimizer: torch.optim.Optimizer,
    step: int,
) -> dict[str, float]:
    """Take one optimizer step; return its scalars, all from before the update.

    The scalars are loss, auxiliary loss, gradient norm, learning rate, and the values of the step
    probes. Reading them waits for the device, so the caller can time the step.

    With `accumulate` the batch is split into parts:

    - A part's loss is weighted by its share of the kept positions, so the sum is the batch's loss.
    - An auxiliary loss is computed per part, which differs from that of the whole batch.
    - `after_step` is called once, with the joined outputs of all parts.

    Args:
        setup: the task, the probes and the options of the training.
        model: the model to update.
        forward: the model, or its compiled version.
        optimizer: the optimizer of the model.
        step: the number of the step, counted from 1.
    """
    config = setup.config
    # The rate is a function of the step, so a resumed training needs no scheduler state.
    lr = learning_rate(config, step)
    for group in optimizer.param_groups:
        group["lr"] = lr
    batch = setup.task.batch(step).to(setup.trial.device)
    optimizer.zero_grad()
    # The sums stay on the device until the end of the step: reading them earlier would stall it.
    loss = aux_loss = torch.zeros((), device=setup.trial.device)
    outputs = []
    for part in batch.split(config.accumulate) if config.accumulate > 1 else (batch,):
        # Weight by kept positions: padding must not change the weight of a part.
        share = 1.0 if part is batch else part.keep.sum() / batch.keep.sum()
        with autocast(setup.trial.config.device, setup.trial.device):
            output = forward(*part.inputs, keep=part.keep)
            part_loss = setup.task.loss(output.prediction, part)
        # Backward per part frees its graph, so the memory is that of one part.
        (share * (part_loss + output.aux_loss)).backward()
        loss = loss + share * part_loss.detach()
        aux_loss = aux_loss + share * output.aux_loss.detach()
        outputs.append(strip_output(output))
    # Step probes see the gradients of the whole batch, before clipping.
    probed = {
        name: value for step_probe in setup.step_probes for name, value in step_probe(model).items()
    }
    # Without clipping the bound is infinite: the call still returns the norm.
    bound = math.inf if config.clip is None else config.clip
    norm = nn.utils.clip_grad_norm_(model.parameters(), bound)
    optimizer.step()
    # Update state without gradients, such as the selection bias of a router.
    model.after_step(join_outputs(outputs))  # type: ignore[operator]
    values = {"train/loss": loss, "train/aux_loss": aux_loss, "train/grad_norm": norm}
    return {name: value.item() for name, value in values.items()} | {"train/lr": lr} | probed


def strip_output(output: Any) -> Any:
    """Return an output without its graph and with zero rows of its prediction.

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
    """Join the outputs of a batch's parts into the output of the batch.

    Tensors are concatenated along their first axis, scalar tensors become their mean. Any other
    value is that of the first part.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Tensor):
        return torch.cat(list(parts)) if first.ndim else torch.stack(list(parts)).mean()
    if isinstance(first, tuple):
        fields = [join_outputs(values) for values in zip(*parts, strict=True)]
        return type(first)(*fields) if hasattr(first, "_fields") else tuple(fields)
    return first


FINITE_VALUES = {
    "train/loss": "the training loss",
    "train/aux_loss": "the auxiliary loss",
    "train/grad_norm": "the gradient norm",
}
"""The values of a step that must be finite, and their names in messages."""


def describe_non_finite_value(values: Mapping[str, float]) -> str | None:
    """Return a clause on the first value of a step that is not finite, or None."""
    for name, words in FINITE_VALUES.items():
        if not math.isfinite(values[name]):
            return f"{words} is {values[name]}"
    return None


def find_non_finite_weight(model: nn.Module, unchecked: frozenset[str] = frozenset()) -> str | None:
    """Return the name of the first parameter or buffer that is not finite, or None.

    Buffers named in `unchecked` do not count.
    """
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    checked = {name: x for name, x in tensors.items() if name not in unchecked}
    return next(iter(non_finite_names(checked)), None)


def non_finite_buffers(model: nn.Module) -> frozenset[str]:
    """Return the names of the buffers that are not finite, such as a causal mask of -inf."""
    return frozenset(non_finite_names(dict(model.named_buffers())))


@torch.no_grad()
def non_finite_names(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors that are not finite, with one transfer from the device."""
    floating = {name: x for name, x in tensors.items() if x.is_floating_point() or x.is_complex()}
    if not floating:
        return []
    are_finite = torch.stack([x.isfinite().all() for x in floating.values()]).tolist()
    return [name for name, finite in zip(floating, are_finite, strict=True) if not finite]


def evaluate_and_log(setup: TrainingSetup, model: nn.Module, *, step: int) -> None:
    """Evaluate on held-out data with new probes, log the values, append the loss to the loop state.

    Mark the trial as diverged if the loss or a weight is not finite.
    """
    probes = [make() for make in setup.probes]
    values = evaluate(model, setup.task, probes, setup.trial.device)
    setup.trial.log(values, step)
    setup.loop_state.losses.append(values["val/loss"])
    setup.loop_state.evaluated.append(step)
    for metric in filter(is_task_metric, values):
        setup.loop_state.task_metrics.setdefault(metric, []).append(values[metric])
    if not math.isfinite(values["val/loss"]):
        setup.trial.diverge(f"the held-out loss is {values['val/loss']} at step {step}")
    elif name := find_non_finite_weight(model, setup.unchecked_buffers):
        setup.trial.diverge(f"the weights {name} are not finite at step {step}")


@torch.no_grad()
def evaluate(
    model: nn.Module, task: TaskProtocol, probes: Sequence[ProbeProtocol], device: torch.device
) -> dict[str, float]:
    """Return `val/loss`, the task's other metrics and those of the probes, on held-out data.

    `val/loss` is the mean over the kept positions, as is `task/<name>`. `val/nats_per_byte` is of
    tasks that know the bytes of their held-out text. The model is in eval mode. `device.autocast`
    does not apply here: it is for training steps only.
    """
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    sums: dict[str, float] = {}
    for held_out in task.evaluation():
        batch = held_out.to(device)
        output = model(*batch.inputs, keep=batch.keep)
        n = int(batch.keep.sum())
        total += task.loss(output.prediction, batch).item() * n
        count += n
        for name, value in task.metrics(output.prediction, batch).items():
            sums[name] = sums.get(name, 0.0) + value * n
        for probe in probes:
            probe.update(batch, output)
    model.train(was_training)
    values = {"val/loss": total / count}
    if task.n_held_out_bytes is not None:
        values[NATS_PER_BYTE] = total / task.n_held_out_bytes
    values |= {f"task/{name}": value / count for name, value in sums.items()}
    for probe in probes:
        values |= probe.metrics()
    return values


def is_task_metric(name: str) -> bool:
    """Return whether a value of `evaluate` is a metric of the task other than its loss."""
    return name == NATS_PER_BYTE or name.startswith("task/")


def record_held_out(trial: TrialProtocol, task: TaskProtocol, values: Mapping[str, float]) -> None:
    """Record the held-out loss and the task's other metrics, from values of `evaluate`."""
    trial.record({"val/loss": values["val/loss"]}, task.unit)
    for name in filter(is_task_metric, values):
        trial.record({name: values[name]}, "nats/byte" if name == NATS_PER_BYTE else "1")


def record_final_values(setup: TrainingSetup) -> None:
    """Check for divergence; record the final loss, the spike score and the times."""
    trial, losses, curves = setup.trial, setup.loop_state.losses, setup.loop_state.curves
    trained = curves.get("train/loss", [])
    if not trial.diverged and not losses[-1] < losses[0] and not has_fallen(trained):
        trial.diverge(
            f"the last held-out loss, {losses[-1]:.4g}, is not below the first, {losses[0]:.4g}, "
            "and the training loss has not fallen"
        )
    if not trial.diverged and (rise := describe_loss_rise(losses, setup.loop_state.evaluated)):
        trial.note(rise)
    by_name = {"val/loss": losses, **setup.loop_state.task_metrics}
    counted = {name: values[0 if trial.diverged else -1] for name, values in by_name.items()}
    record_held_out(trial, setup.task, counted)
    trial.record({"train/spike_score": spike_score(trained)}, "1")
    if setup.loop_state.step_seconds:
        seconds = statistics.median(setup.loop_state.step_seconds)
        # Tokens are the kept positions of a batch, so padding is excluded.
        tokens = int(setup.task.batch(0).keep.sum())
        trial.record({"time/step": seconds}, "s")
        trial.record({"time/throughput": tokens / seconds}, "tokens/s")


def has_fallen(losses: Sequence[float]) -> bool:
    """Return whether the mean of the last `LAST_STEPS` training losses is below the first."""
    return mean(losses[-LAST_STEPS:]) < losses[0]


def describe_loss_rise(losses: Sequence[float], steps: Sequence[int]) -> str | None:
    """Return a sentence on held-out losses that spiked, or None if they did not.

    A spike rises above the first loss, and the last loss is more than half of the way back.
    """
    peak = max(losses)
    if not (peak > losses[0] and losses[-1] < (losses[0] + peak) / 2):
        return None
    at = steps[losses.index(peak)]
    return (
        f"spiked: held-out loss rose to {peak:.4g} at step {at} (started at {losses[0]:.4g}) "
        f"and came back to {losses[-1]:.4g}"
    )


def mean(values: Sequence[float]) -> float:
    """Return the mean; infinity if the sum overflows, where `statistics.fmean` raises."""
    try:
        return statistics.fmean(values)
    except OverflowError:
        return math.inf


def spike_score(losses: Sequence[float]) -> float:
    """Return the share of judged losses that are spikes (OLMo 2, 2024).

    A loss is a spike if it is more than 7 standard deviations from the mean of earlier losses.

    - Mean and deviation are over the finite values among the last 1000 losses, or over all if there
      are fewer.
    - A loss is judged after 32 others. So the first 32 steps cannot spike.
    - A loss that is not finite is always judged, and is a spike.
    """
    values = np.asarray(losses, dtype=float)
    finite = np.isfinite(values)
    judged = [i for i in range(len(values)) if i >= SPIKE_MIN_STEPS or not finite[i]]
    spikes = 0
    for index in judged:
        window = slice(max(0, index - SPIKE_WINDOW), index)
        before = values[window][finite[window]]
        spikes += not finite[index] or not is_within_spike_bound(values[index], before)
    return spikes / max(1, len(judged))


def is_within_spike_bound(value: float, before: np.ndarray[Any, Any]) -> bool:
    """Return whether a value is within 7 standard deviations of the mean of earlier values.

    Without earlier values it is.
    """
    if not before.size:
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(abs(value - before.mean()) <= SPIKE_DEVIATIONS * before.std())
