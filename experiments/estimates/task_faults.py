"""The faults of a plain task's own loss and metrics, which a plan tries once. Imports torch.

A plan runs them in its helper process. Trials do not import this module.
"""

import math
from typing import Any

import torch

from experiments.estimates.inspected_module import restored_random_state, seed_everything
from experiments.tasks.batch import Batch
from experiments.tasks.plain_samples import SplitName

N_SEQUENCES = (3, 2)
"""Sequences of two batches, of different sizes as the last held-out batch may be smaller."""


def find_task_fault(options: Any) -> str:
    """Return the first fault of the loss and the metrics of a plain task; "" if there is none.

    The predictions are standard normal numbers, in the shape that models return.

    Raises:
        ValueError: the user's code fails; the message names the task and the method.
    """
    sampler = options.sampler(options.plain_sizes())
    held_out = sampler.draw(N_SEQUENCES[0], [], SplitName.held_out)
    task = options.build_with(held_out, seed=0, batch_size=N_SEQUENCES[0])
    name = f"task={options.kind}"
    names: list[set[str]] = []
    with restored_random_state():
        seed_everything(0)
        for n in N_SEQUENCES:
            batch = task.collate(*(rows[:n] for rows in task.held_out))
            leaf = torch.randn(*batch.target.shape[:2], task.vocabulary or task.width)
            if fault := find_loss_fault(task, leaf, batch):
                return f"{name}: loss() {fault}"
            with torch.no_grad():
                names.append(set(task.metrics(leaf.clone(), batch)))
    if names[0] != names[1]:
        return (
            f"{name}: metrics() returned {', '.join(sorted(names[0])) or 'nothing'}, and for "
            f"another batch {', '.join(sorted(names[1])) or 'nothing'}; the names must be the same"
        )
    return ""


def find_loss_fault(task: Any, leaf: torch.Tensor, batch: Batch) -> str:
    """Return the fault of a loss as a clause; "" if there is none.

    Args:
        task: the task.
        leaf: the predictions.
        batch: the batch that they belong to.
    """
    leaf.requires_grad_()
    loss = task.loss(leaf * 1.0, batch)  # not a leaf, as of a model
    if not math.isfinite(loss.item()):
        return f"is {loss.item()} for random predictions; it must be finite"
    grad = None
    if loss.requires_grad:
        (grad,) = torch.autograd.grad(loss, leaf, allow_unused=True)
    leaf.requires_grad_(False)
    if grad is None:
        return (
            "has no gradient with respect to prediction; compute it from prediction by "
            "differentiable operations of torch"
        )
    if not grad.isfinite().all():
        return "has a gradient that is not finite for random predictions"
    with torch.no_grad():  # as in an evaluation
        task.loss(leaf.clone(), batch)
    return ""
