"""Normalisation over the last axis, and where norms stand around the parts of a block.

Legend: batch, time, d_model.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from experiments.nn.choice import check_known_name

# torch's own modules: their fused kernels beat a spelled-out formula forward and backward.
NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


def build_norm(d_model: int, *, type: str, eps: float) -> nn.Module:
    """LayerNorm (gain and bias; Ba 2016) or RMSNorm (gain only, no centring; Zhang 2019)."""
    check_known_name(NORMS, type=type)
    return NORMS[type](d_model, eps=eps)


class Residual(nn.Module):
    """A residual stream x around one part f: x becomes outer(alpha * x + behind(f(before(x)))).

    The norms that are asked for are made by `norm`, the others are identities. Placements that
    are known: `before` alone is pre (Xiong 2020), `outer` alone post (Vaswani 2017), `before` and
    `behind` peri (Kim 2025; the same as the sandwich of CogView), and `outer` with an `alpha` above
    1 deepnorm (Wang 2022).
    """

    def __init__(
        self,
        norm: Callable[[], nn.Module],
        *,
        before: bool = False,
        behind: bool = False,
        outer: bool = False,
        alpha: float = 1.0,
    ) -> None:
        super().__init__()
        self.before = norm() if before else nn.Identity()
        self.behind = norm() if behind else nn.Identity()
        self.outer = norm() if outer else nn.Identity()
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


class DeepNorm(NamedTuple):
    """The constants of DeepNorm (Wang 2022, figure 2): weight of the stream, factor on weights."""

    alpha: float
    gain: float


def deepnorm(n_layers: int, *, n_parts: int = 2) -> DeepNorm:
    """Of a model with one stack of blocks: (2 n_layers)^(1/4) and (8 n_layers)^(-1/4).

    What is raised counts the parts that write into the stream: attention-only blocks have 1 each.
    """
    writers = n_parts * n_layers
    return DeepNorm(writers**0.25, (4 * writers) ** -0.25)


def deepnorm_encoder(n_encoder: int, n_decoder: int) -> DeepNorm:
    """Of an encoder before a decoder: 0.81 (N^4 M)^(1/16) and 0.87 (N^4 M)^(-1/16).

    torchscale's encoder.py divides its weights by (N^4 M)^(1/16) / 1.15, which makes the factor
    1.15 where the paper has 0.87 = 1 / 1.15; this is the paper's. It was fitted to blocks of two
    parts, and is kept for attention-only ones.
    """
    root = (n_encoder**4 * n_decoder) ** (1 / 16)
    return DeepNorm(0.81 * root, 0.87 / root)


def deepnorm_decoder(n_decoder: int, *, n_parts: int = 3) -> DeepNorm:
    """Of a decoder behind an encoder, three parts a block: (3 M)^(1/4) and (12 M)^(-1/4)."""
    return deepnorm(n_decoder, n_parts=n_parts)
