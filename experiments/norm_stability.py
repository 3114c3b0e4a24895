"""Gradients over depth under each placement of the norms, and how each of them trains.

First at initialisation: models of growing depth that differ in nothing but where their norms stand,
and for each the gradient of the last feed-forward matrix (W2 of Xiong et al. 2020, whose theorem is
about this one: level for Post-LN, falling like 1 / sqrt(depth) for Pre-LN), of each layer and of
the residual stream, with the stream's variance. Then in training, at the depth of `model.n_layers`:
losses, and the gradient norm of each layer in every step, before clipping. Arms that differ in
nothing but their training look at no depth (`options.depths=[]`), since they start alike.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from experiments import Question, measuring, question
from experiments.metrics import METRICS
from experiments.metrics.norm_stability import DECLARATIONS
from experiments.probes.finite import numbers, ratio
from experiments.rules import at_least
from experiments.start import model_of, task_of

if TYPE_CHECKING:
    from experiments.probes.gradients import Depth
    from runner.trial.trial import Trial

LAST = 10
"""Steps at the end of training that count as its outcome, as in the exercise."""

METRICS.update(DECLARATIONS)


@question("norm_stability")
@dataclass
class NormStabilityOptions(Question):
    """The depths that are looked at before training, and on how many batches of which size."""

    depths: list[int] = field(metadata=measuring("norm/grad_slope", "norm/variance_slope"))
    init_batches: int = field(metadata=measuring("norm/grad_", "norm/grad/", "norm/variance"))
    init_batch_size: int | None = field(
        metadata=measuring("norm/grad_", "norm/grad/", "norm/variance")
    )

    def __post_init__(self) -> None:
        at_least(1, init_batches=self.init_batches)
        if self.init_batch_size is not None:
            at_least(1, init_batch_size=self.init_batch_size)
        for depth in self.depths:
            at_least(1, depths=depth)
        if self.depths and len(set(self.depths)) < max(2, len(self.depths)):
            raise ValueError(
                f"depths={list(self.depths)} must be two or more different numbers of layers, as "
                "a slope over depth is fitted, or [] to look at nothing before training"
            )


def run(trial: "Trial") -> None:
    """Look at models of all depths before any training, then train one of them, record."""
    from experiments.probes.gradients import GradientNorms, depth_profile
    from runner.trial.training import train

    parts, options = trial.config.parts, trial.config.options
    task = task_of(trial)

    if options.depths:
        seen = task_of(trial, options.init_batch_size)
        steps = range(1, 1 + options.init_batches)
        batches = [seen.batch(step).to(trial.device) for step in steps]
        profiles = {}
        for depth in sorted(options.depths):
            model = model_of(trial, task, model=replace(parts.model, n_layers=depth))
            profiles[depth] = mean_profile([depth_profile(model, b, task.loss) for b in batches])
        trial.record(at_initialisation(profiles), "1")

    model = model_of(trial, task)
    curves = train(trial, model, task, watch=[GradientNorms()])
    record_training(trial, curves, task.unit)


def mean_profile(profiles: "list[Depth]") -> "Depth":
    """Return the mean over batches, value by value: one batch would say more about itself."""
    from experiments.probes.gradients import Depth

    def mean(name: str) -> list[float]:
        per_batch = zip(*(getattr(p, name) for p in profiles), strict=True)
        return [of_finite(statistics.fmean, values) for values in per_batch]

    return Depth(**{field.name: mean(field.name) for field in dataclasses.fields(Depth)})


def at_initialisation(profiles: "dict[int, Depth]") -> dict[str, float]:
    """Return metrics of models before training; slopes are of logarithms against log depth."""
    from experiments.probes.gradients import log_slope

    found: dict[str, float] = {}
    for depth, profile in profiles.items():
        found[f"norm/grad_last/depth{depth}"] = profile.grad_down[-1]
        # Asked for by the exercise, and misleading: the theorem is about the last layer as depth
        # grows, while at one depth the first and last layer of Post-LN may well be alike.
        found[f"norm/grad_first_last/depth{depth}"] = ratio(profile.grad[0], profile.grad[-1])
        found[f"norm/variance_last/depth{depth}"] = profile.variance[-1]
        for name in ("grad", "grad_stream", "variance"):
            for layer, value in enumerate(getattr(profile, name)):
                found[f"norm/{name}/depth{depth}/layer{layer}"] = value
    found["norm/grad_slope"] = log_slope({d: p.grad_down[-1] for d, p in profiles.items()})
    found["norm/variance_slope"] = log_slope({d: p.variance[-1] for d, p in profiles.items()})
    return numbers(found)


def record_training(trial: "Trial", curves: dict[str, list[float]], unit: str) -> None:
    """Record the outcome of training, from the scalars of every step.

    A trial that broke off before its first step has none.
    """
    losses, norms = curves.get("train/loss", []), curves.get("train/grad_norm", [])
    trial.record({"norm/loss_last": of_finite(statistics.fmean, losses[-LAST:])}, unit)
    sizes = {"norm/grad_sd": of_finite(statistics.pstdev, norms)}
    sizes["norm/grad_max"] = of_finite(max, norms)
    trial.record(sizes, "1")
    trial.record({"norm/diverged": float(trial.diverged is not None)}, "1")


def of_finite(function: Callable[[Sequence[float]], float], values: Sequence[float]) -> float:
    """Apply a function to values; NaN where there are none, one is not finite or they overflow."""
    if not values or not all(map(math.isfinite, values)):
        return math.nan
    try:
        return function(values)
    except OverflowError:
        return math.nan
