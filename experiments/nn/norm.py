"""Normalisation over the last axis, and the placement of norms around the parts of a block.

Legend of shapes: batch, time (positions), d_model (width of the residual stream).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from experiments.nn.choice import check_known_name

# torch's own modules: their fused kernels are faster than the formula in Python, both forward and
# backward.
NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


def build_norm(d_model: int, *, type: str, eps: float) -> nn.Module:
    """Return LayerNorm (gain and bias; Ba 2016) or RMSNorm (gain, no centring; Zhang 2019)."""
    check_known_name(NORMS, type=type)
    return NORMS[type](d_model, eps=eps)


class Residual(nn.Module):
    """The norms and the residual connection around one part f of a block.

    The stream x becomes outer(alpha * x + behind(f(before(x)))). `norm` builds each norm that is
    True; the others are identities. Known placements:
    - `before`: pre (Xiong 2020);
    - `outer`: post (Vaswani 2017);
    - `before` and `behind`: peri (Kim 2025), the same as CogView's sandwich;
    - `outer` with `alpha` above 1: deepnorm (Wang 2022).
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
        """Return the next stream, outer(alpha * x + behind(change)), with change = f(before(x)).

        The block calls `before`, f and `join` in turn, since parts differ in their arguments and
        results.
        """
        return self.outer(torch.add(self.behind(change), x, alpha=self.alpha))


class DeepNorm(NamedTuple):
    """The constants of DeepNorm (Wang 2022, figure 2).

    Attributes:
        alpha: the factor on the residual stream.
        gain: the factor on initial weights, beta in the paper.
    """

    alpha: float
    gain: float


def deepnorm(n_layers: int, *, n_parts: int = 2) -> DeepNorm:
    """Return the constants of one stack of blocks: (2 n_layers)^(1/4) and (8 n_layers)^(-1/4).

    The 2 is `n_parts`, the parts of a block that write into the stream, and 8 is 4 `n_parts`. An
    attention-only block has one part.
    """
    n_writers = n_parts * n_layers
    return DeepNorm(n_writers**0.25, (4 * n_writers) ** -0.25)


def deepnorm_encoder(n_encoder: int, n_decoder: int) -> DeepNorm:
    """Return the constants of an encoder: alpha 0.81 (N^4 M)^(1/16), gain 0.87 (N^4 M)^(-1/16).

    N is `n_encoder` and M is `n_decoder`. The gain is the paper's. torchscale's encoder.py divides
    weights by (N^4 M)^(1/16) / 1.15, so its factor is 1.15 where the paper has 0.87 = 1 / 1.15.
    The paper fitted the constants to blocks of two parts; attention-only blocks use the same.
    """
    root = (n_encoder**4 * n_decoder) ** (1 / 16)
    return DeepNorm(0.81 * root, 0.87 / root)


def deepnorm_decoder(n_decoder: int, *, n_parts: int = 3) -> DeepNorm:
    """Return the constants of a decoder with cross-attention: (3 M)^(1/4) and (12 M)^(-1/4).

    M is `n_decoder`. The 3 is `n_parts`, the parts of a block that write into the stream, and 12
    is 4 `n_parts`.
    """
    return deepnorm(n_decoder, n_parts=n_parts)
