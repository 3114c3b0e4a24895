"""How much the loss depends on each head, to first order (Michel et al. 2019)."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from experiments.probes.heads.ablation import transform_head_outputs
from experiments.probes.heads.attention_weights import attention_layers
from experiments.tasks.batch import Batch

Loss = Callable[[Tensor, Batch], Tensor]


def taylor_importance(model: nn.Module, batches: Sequence[Batch], loss: Loss) -> list[list[float]]:
    """I_h, a sum over sequences of |dL / d xi_h|, by layer and head; l2-normalised in each layer.

    xi_h is a mask of 1 that the head's output is multiplied with, and L the loss of one sequence,
    of which `loss` gives a value each, (batch,); equation 2 of Are Sixteen Heads Really Better than
    One?, of which this is the mask form. Scores of different layers are compared as they are, as in
    the paper. It masks heads with 0, where pruning here puts their mean. A layer that nothing
    depends on has zeros. The model is asked in the mode it is in.
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
    """The heads' outputs (batch, time, n_heads, d_head) times a mask (batch, n_heads)."""
    return outputs * mask[:, None, :, None]
