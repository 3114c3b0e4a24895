"""Importance of heads: the first-order effect of a head on the loss (Michel et al. 2019)."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from experiments.probes.heads.ablation import transform_head_outputs
from experiments.probes.heads.attention_weights import attention_layers
from experiments.tasks.batch import Batch

Loss = Callable[[Tensor, Batch], Tensor]


def taylor_importance(model: nn.Module, batches: Sequence[Batch], loss: Loss) -> list[list[float]]:
    """Return I_h, the sum over sequences of |dL / d xi_h|, by layer and head.

    xi_h is a mask of 1 on the head's output, and L is the loss of one sequence, from `loss`,
    (batch,). This is equation 2 of Are Sixteen Heads Really Better than One?, in the form with
    masks. As in the paper, scores are l2-normalised in each layer, and then compared across layers.
    The paper masks heads with 0; pruning here uses their mean instead.

    A layer without effect on the loss has zeros. The mode of the model does not change.
    """
    layers = attention_layers(model)
    sums = [torch.zeros(layer.n_heads, dtype=torch.float64) for layer in layers]
    for batch in batches:
        n, weight = len(batch.keep), layers[0].out.weight
        masks = [
            torch.ones(n, layer.n_heads, dtype=weight.dtype, device=weight.device).requires_grad_()
            for layer in layers
        ]
        with transform_head_outputs(model, [partial(mask_heads, mask) for mask in masks]):
            output = model(*batch.inputs, keep=batch.keep)
        total = loss(output.prediction, batch).sum()
        for index, gradient in enumerate(torch.autograd.grad(total, masks)):
            sums[index] += gradient.abs().float().sum(0).cpu().double()
    return [(row / row.norm().clamp(min=torch.finfo(row.dtype).tiny)).tolist() for row in sums]


def mask_heads(mask: Tensor, outputs: Tensor) -> Tensor:
    """Return the outputs (batch, time, n_heads, d_head) of heads times a mask (batch, n_heads)."""
    return outputs * mask[:, None, :, None]
