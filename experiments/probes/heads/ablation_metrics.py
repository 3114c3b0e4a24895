"""What a model that copies can do without some of its heads: the same numbers for every arm."""

from statistics import fmean

import torch
from torch import nn

from experiments.probes.heads.ablation import (
    choose_head_groups,
    mean_outputs,
    measure_drops,
    split_even_odd,
)
from experiments.probes.heads.attention_weights import attention_layers
from experiments.probes.heads.copying import CopyProbe, copy_loss, make_copy_accuracy
from experiments.probes.heads.importance import taylor_importance
from experiments.probes.heads.probe import HeadProbe
from experiments.probes.heads.pruning import (
    ORDERS,
    area_under_curve,
    mean_curve_rows,
    prunable_share,
    pruning_curve,
    removal_orders,
)
from experiments.tasks.batch import Batch, Task
from runner.trial import science
from runner.trial.trial import Trial


def record_ablation_and_pruning(trial: Trial, model: nn.Module, task: Task) -> None:
    """The accuracy in the second copy without some heads, whose outputs become their mean.

    Everything that chooses heads or replaces them comes from one half of the held-out data, the
    accuracy from the other. `heads/ablation/<choice>` are the drops, `heads/prunable/<order>`
    shares of heads that can go, `heads/pruning_area/<order>` the mean accuracy on the way to none.
    """
    chosen, judged = split_even_odd(task.evaluation(), trial.device)
    entropy = head_entropies(model, chosen, task, block=trial.config.options.block)
    copying = CopyProbe(model)
    with torch.no_grad():
        for batch in chosen:
            copying.update(batch, model(*batch.inputs, keep=batch.keep))
    means, measure = mean_outputs(model, chosen), make_copy_accuracy(judged)
    found = measure_drops(
        model, measure, means, choose_head_groups(copying.scores(), entropy, seed=trial.seed)
    )
    trial.record({f"heads/ablation/{name}": value for name, value in found.items()}, "1")
    ordered = removal_orders(
        model,
        taylor=taylor_importance(model, chosen, copy_loss),
        entropy=entropy,
        n_random=trial.config.options.n_orders,
        seed=trial.seed,
    )
    curves = {
        name: [pruning_curve(model, measure, means, order) for order in several]
        for name, several in ordered.items()
    }
    for name, several in curves.items():
        trial.record({f"heads/prunable/{name}": fmean(map(prunable_share, several))}, "1")
        trial.record({f"heads/pruning_area/{name}": fmean(map(area_under_curve, several))}, "1")
    trial.table("pruning", mean_curve_rows(curves))


def record_diverged_ablation(trial: Trial, model: nn.Module) -> None:
    """The same numbers of a diverged trial as they are declared, so that it counts.

    It does not copy: no accuracy is kept without heads (0); the cost of a head is unknown (NaN).
    """
    flat = [[0.0] * layer.n_heads for layer in attention_layers(model)]
    names = [f"heads/ablation/{name}" for name in choose_head_groups(flat, flat, seed=trial.seed)]
    for what in ("prunable", "pruning_area"):
        names += [f"heads/{what}/{name}" for name in ORDERS]
    trial.record({name: science.metric(name).value for name in names}, "1")


def head_entropies(
    model: nn.Module, batches: list[Batch], task: Task, *, block: int
) -> list[list[float]]:
    """The mean entropy of each head on these batches, layer by layer, nats."""
    probe = HeadProbe(model, task.labels, {}, block=block)
    for batch in batches:
        probe.update(batch)
    return [row for layer, row in probe.table()["entropy"].items() if layer != "uniform"]
