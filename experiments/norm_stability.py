"""Compare placements of the norms: gradients over depth before training, and stability of training.

Before training, a trial builds models of growing depth with the norm placement of its arm. For each
depth it measures:

- the gradient of the last feed-forward matrix, W2 of Xiong et al. 2020. Their theorem says that it
  is constant over depth for Post-LN, and falls like 1 / sqrt(depth) for Pre-LN;
- the gradients of each layer and of the residual stream, and the variance of the stream.

Then it trains one model with `model.n_layers` layers. It measures the losses, and the gradient norm
of each layer in every step, before clipping. Arms that differ only in how they train skip the
measurement before training (`options.depths=[]`), since they start from the same weights.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from experiments import Question, measurement_only, question
from experiments.metrics import METRICS
from experiments.metrics.norm_stability import DECLARATIONS
from experiments.probes.nonfinite import ratio_or_nan, replace_nonfinite
from experiments.rules import check_at_least
from experiments.trial_setup import build_model, build_task

if TYPE_CHECKING:
    from experiments.probes.gradients import DepthProfile
    from runner.trial.trial import Trial

LAST = 10
"""The number of last steps whose mean loss is recorded, as in the textbook settings."""

METRICS.update(DECLARATIONS)  # the definitions of the metrics that `run` records


@question("norm_stability")
@dataclass
class NormStabilityOptions(Question):
    """Options of `experiment=norm_stability`.

    Attributes:
        depths: numbers of layers that are measured before training; [] measures none.
        init_batches: batches over which these measurements are averaged.
        init_batch_size: sequences of such a batch; null is the size of the training batches.
    """

    depths: list[int] = field(metadata=measurement_only("norm/grad_slope", "norm/variance_slope"))
    init_batches: int = field(
        metadata=measurement_only("norm/grad_", "norm/grad/", "norm/variance")
    )
    init_batch_size: int | None = field(
        metadata=measurement_only("norm/grad_", "norm/grad/", "norm/variance")
    )

    def __post_init__(self) -> None:
        check_at_least(1, init_batches=self.init_batches)
        if self.init_batch_size is not None:
            check_at_least(1, init_batch_size=self.init_batch_size)
        for depth in self.depths:
            check_at_least(1, depths=depth)
        if self.depths and len(set(self.depths)) < max(2, len(self.depths)):
            raise ValueError(
                f"depths={list(self.depths)} must be two or more different numbers of layers, to "
                "fit a slope over depth, or [] to measure nothing before training"
            )


def run(trial: "Trial") -> None:
    """Measure untrained models of all depths, then train the model of the arm and record both."""
    # Imports are local, so that `plan=only` can import this module without loading torch.
    from experiments.probes.gradients import GradientNorms, depth_profile
    from runner.trial.training import train

    # Set up: the data of this arm and seed.
    parts, options = trial.config.parts, trial.config.options
    task = build_task(trial)

    # Measure before training: one model per depth, on the same batches.
    if options.depths:
        init_task = build_task(trial, options.init_batch_size)
        steps = range(1, 1 + options.init_batches)
        batches = [init_task.batch(step).to(trial.device) for step in steps]
        profiles = {}
        for depth in sorted(options.depths):
            model = build_model(trial, task, model=replace(parts.model, n_layers=depth))
            profiles[depth] = mean_profile([depth_profile(model, b, task.loss) for b in batches])
        trial.record(initialisation_metrics(profiles), "1")
        if not all(profile.grad_down for profile in profiles.values()):
            trial.note(
                f"ffn={parts.ffn.kind}: left out: gradient of the last matrix (no linear layer "
                "returns the output)"
            )

    # Measure in training: the gradient norm of each layer in every step.
    model = build_model(trial, task)
    curves = train(trial, model, task, step_probes=[GradientNorms()])
    record_training(trial, curves, task.unit)


def mean_profile(profiles: "list[DepthProfile]") -> "DepthProfile":
    """Return the mean of each value over the profiles of several batches, NaN if one is not finite.

    The mean depends less on single batches.
    """
    from experiments.probes.gradients import DepthProfile

    def mean(name: str) -> list[float]:
        per_batch = zip(*(getattr(p, name) for p in profiles), strict=True)
        return [of_finite(statistics.fmean, values) for values in per_batch]

    return DepthProfile(
        **{field.name: mean(field.name) for field in dataclasses.fields(DepthProfile)}
    )


def initialisation_metrics(profiles: "dict[int, DepthProfile]") -> dict[str, float]:
    """Return the metrics of untrained models by depth, and their slopes over depth.

    A slope is that of ln(value) against ln(depth).
    """
    from experiments.probes.gradients import log_slope

    metrics: dict[str, float] = {}
    for depth, profile in profiles.items():
        if profile.grad_down:
            metrics[f"norm/grad_last/depth{depth}"] = profile.grad_down[-1]
        # The textbook settings include this ratio, but it misleads. The theorem is about the last
        # layer as depth grows; at one depth, the first and last layer of Post-LN may be similar.
        metrics[f"norm/grad_first_last/depth{depth}"] = ratio_or_nan(
            profile.grad[0], profile.grad[-1]
        )
        metrics[f"norm/variance_last/depth{depth}"] = profile.variance[-1]
        for name in ("grad", "grad_stream", "variance"):
            for layer, value in enumerate(getattr(profile, name)):
                metrics[f"norm/{name}/depth{depth}/layer{layer}"] = value
    if all(profile.grad_down for profile in profiles.values()):
        metrics["norm/grad_slope"] = log_slope({d: p.grad_down[-1] for d, p in profiles.items()})
    metrics["norm/variance_slope"] = log_slope({d: p.variance[-1] for d, p in profiles.items()})
    return replace_nonfinite(metrics)


def record_training(trial: "Trial", curves: dict[str, list[float]], unit: str) -> None:
    """Record how training ended and how much its gradients varied, from the scalars of every step.

    A trial that diverged before its first step has no scalars; its values are NaN.
    """
    losses, norms = curves.get("train/loss", []), curves.get("train/grad_norm", [])
    trial.record({"norm/loss_last": of_finite(statistics.fmean, losses[-LAST:])}, unit)
    sizes = {"norm/grad_sd": of_finite(statistics.pstdev, norms)}
    sizes["norm/grad_max"] = of_finite(max, norms)
    trial.record(sizes, "1")
    trial.record({"norm/diverged": float(trial.diverged is not None)}, "1")


def of_finite(function: Callable[[Sequence[float]], float], values: Sequence[float]) -> float:
    """Apply a function to values; NaN without values, if one is not finite, or on overflow."""
    if not values or not all(map(math.isfinite, values)):
        return math.nan
    try:
        return function(values)
    except OverflowError:
        return math.nan
