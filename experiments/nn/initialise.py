"""Starting weights that depend on a parameter's name and the seed, and on nothing else.

Arms of a comparison then start from the same values wherever they have a parameter of the same
name and shape, and a matrix that one arm has more does not shift the draws of the others.

The scheme: weights normal with std 1 / sqrt(fan_in), so that a unit input gives a unit output at
any width (0.02 for every width, as in GPT-2, is far too small at d_model 64); matrices that write
into the residual stream (`out` of attention, `down` of a feed-forward network) divided by sqrt(2
n_layers), so that the stream's variance does not grow with depth (GPT-2); embeddings with std 1;
gains 1; biases 0.
"""

import hashlib
import math

import torch
from torch import Tensor, nn

from experiments.nn.transformer import Block

RESIDUAL = ("out", "down")


def generator(seed: int, name: str) -> torch.Generator:
    """A CPU generator of its own for the parameter `name`."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    # 63 bits: manual_seed takes no larger unsigned numbers on every platform.
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@torch.no_grad()
def initialise(module: nn.Module, seed: int) -> None:
    """Fill every parameter in place; values are drawn on the CPU, so that devices start alike."""
    n_layers = sum(isinstance(part, Block) for part in module.modules())
    residual = 1 / math.sqrt(2 * max(n_layers, 1))
    for path, part in module.named_modules():
        for leaf, parameter in part.named_parameters(recurse=False):
            name = f"{path}.{leaf}" if path else leaf
            if leaf.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim == 1:
                parameter.fill_(1)
            else:
                std = 1.0 if isinstance(part, nn.Embedding) else parameter.shape[-1] ** -0.5
                if path.rpartition(".")[2] in RESIDUAL:
                    std *= residual
                parameter.copy_(std * normal(parameter, generator(seed, name)))


def normal(like: Tensor, source: torch.Generator) -> Tensor:
    """Standard normal float32 values on the CPU, in the shape of `like`."""
    return torch.randn(like.shape, generator=source)
