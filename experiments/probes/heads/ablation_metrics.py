"""Record the metrics of ablation and pruning of a model that copies, the same for every arm."""

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
    """Ablate heads of a model in eval mode, and record the effect on the copy accuracy.

    The accuracy is that of the second copy. One half of the held-out data chooses heads and gives
    their mean outputs; the other half gives the accuracy. Metrics:

        heads/ablation/{choice}     the accuracy lost without the heads of a choice
        heads/prunable/{order}      the share of heads that can be removed in this order
        heads/pruning_area/{order}  the mean accuracy over all steps of this order
    """
    # Choose heads on one half of the data, so that the accuracy on the other half is unbiased.
    choosing, measured = split_even_odd(task.evaluation(), trial.device)
    entropy = head_entropies(model, choosing, task, block=trial.config.options.block)
    copying = CopyProbe(model)
    with torch.no_grad():
        for batch in choosing:
            copying.update(batch, model(*batch.inputs, keep=batch.keep))
    means, accuracy = mean_outputs(model, choosing), make_copy_accuracy(measured)
    # Ablate groups of heads.
    drops = measure_drops(
        model, accuracy, means, choose_head_groups(copying.scores(), entropy, seed=trial.seed)
    )
    trial.record({f"heads/ablation/{name}": value for name, value in drops.items()}, "1")
    # Remove heads one by one, in several orders.
    orders = removal_orders(
        model,
        taylor=taylor_importance(model, choosing, copy_loss),
        entropy=entropy,
        n_random=trial.config.options.n_orders,
        seed=trial.seed,
    )
    curves = {
        name: [pruning_curve(model, accuracy, means, order) for order in of_name]
        for name, of_name in orders.items()
    }
    for name, of_name in curves.items():
        trial.record({f"heads/prunable/{name}": fmean(map(prunable_share, of_name))}, "1")
        trial.record({f"heads/pruning_area/{name}": fmean(map(area_under_curve, of_name))}, "1")
    trial.table("pruning", mean_curve_rows(curves))


def record_diverged_ablation(trial: Trial, model: nn.Module) -> None:
    """Record the same metrics for a diverged trial, with their declared values.

    A diverged model does not copy, so its accuracy with fewer heads is 0. The accuracy that a head
    is responsible for is unknown, NaN.
    """
    zeros = [[0.0] * layer.n_heads for layer in attention_layers(model)]
    names = [f"heads/ablation/{name}" for name in choose_head_groups(zeros, zeros, seed=trial.seed)]
    for prefix in ("prunable", "pruning_area"):
        names += [f"heads/{prefix}/{name}" for name in ORDERS]
    trial.record({name: science.metric(name).value for name in names}, "1")


def head_entropies(
    model: nn.Module, batches: list[Batch], task: Task, *, block: int
) -> list[list[float]]:
    """Return the mean entropy of each head on these batches, by layer and head, in nats."""
    probe = HeadProbe(model, task.labels, {}, block=block)
    for batch in batches:
        probe.update(batch)
    return [row for layer, row in probe.table()["entropy"].items() if layer != "uniform"]
