"""The optimizer of all trainings, and its learning-rate schedule."""

import math

import torch
from torch import nn

from runner.config import Schedule, Training


def adamw(model: nn.Module, config: Training) -> torch.optim.AdamW:
    """Return fused AdamW (Loshchilov and Hutter 2019).

    Weight decay applies to matrices, but not to gains, biases and embeddings.
    """
    embeddings = {
        id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()
    }
    decayed: list[nn.Parameter] = []
    undecayed: list[nn.Parameter] = []
    for name, p in model.named_parameters():
        is_undecayed = p.ndim < 2 or id(p) in embeddings or name.endswith("bias")
        (undecayed if is_undecayed else decayed).append(p)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": undecayed, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.beta1, config.beta2), fused=True)


def learning_rate(config: Training, step: int) -> float:
    """Return the learning rate of a step, counted from 1.

    The rate rises linearly to its peak `lr`, then follows the schedule down to `final_lr_share` of
    the peak. Steps after the last one of the schedule have the final rate.
    """
    if step <= config.warmup_steps:
        return config.lr * step / config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps))
    falling = {
        Schedule.constant: 1.0,
        Schedule.linear: 1 - progress,
        Schedule.cosine: (1 + math.cos(math.pi * progress)) / 2,
    }[config.schedule]
    floor = 1.0 if config.schedule is Schedule.constant else config.final_lr_share
    return config.lr * (floor + (1 - floor) * falling)
