"""Normalisation over the last axis, and where norms stand around the parts of a block.

Legend: batch, time, d_model.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from experiments.config import NormType, Slots

# torch's own modules: their fused kernels beat a spelled-out formula forward and backward.
NORMS = {NormType.layer: nn.LayerNorm, NormType.rms: nn.RMSNorm}


def build_norm(d_model: int, *, type: NormType, eps: float) -> nn.Module:
    """LayerNorm (gain and bias; Ba 2016) or RMSNorm (gain only, no centring; Zhang 2019)."""
    return NORMS[type](d_model, eps=eps)


class Residual(nn.Module):
    """A residual stream x around one part f: x becomes outer(alpha * x + behind(f(before(x)))).

    The norms in `slots` are made by `norm`, the others are identities. Which placement has which
    is the table `experiments.config.SLOTS`: pre (Xiong 2020), post (Vaswani 2017), peri (Kim 2025;
    the same as the sandwich of CogView), deepnorm (Wang 2022, with `alpha` above 1).
    """

    def __init__(self, norm: Callable[[], nn.Module], *, slots: Slots, alpha: float = 1.0) -> None:
        super().__init__()
        self.before = norm() if slots.before else nn.Identity()
        self.behind = norm() if slots.behind else nn.Identity()
        self.outer = norm() if slots.outer else nn.Identity()
        self.alpha = alpha

    def join(
        self,
        x: Float[Tensor, "batch time d_model"],
        change: Float[Tensor, "batch time d_model"],
    ) -> Float[Tensor, "batch time d_model"]:
        """The next stream from `change` = f(before(x)); f is called between the two by the block.

        The part stays with the block, since parts differ in their arguments and in what they
        return beside the change.
        """
        return self.outer(torch.add(self.behind(change), x, alpha=self.alpha))


def deepnorm_alpha(n_layers: int) -> float:
    """The weight of the stream in DeepNorm, decoder-only: (2 n_layers)^(1/4) (Wang 2022)."""
    return (2 * n_layers) ** 0.25


def deepnorm_gain(n_layers: int) -> float:
    """The factor on starting weights in DeepNorm, decoder-only: (8 n_layers)^(-1/4)."""
    return (8 * n_layers) ** -0.25
